// The few icons that there are, as paths of 16 by 16.

const PATHS: Record<string, string> = {
  check: "M3 8.5l3.2 3.2L13 5",
  cross: "M4 4l8 8M12 4l-8 8",
  right: "M6 3.5L10.5 8 6 12.5",
  down: "M3.5 6L8 10.5 12.5 6",
  left: "M10 3.5L5.5 8l4.5 4.5",
  up: "M3.5 10L8 5.5 12.5 10",
  plus: "M8 3v10M3 8h10",
  menu: "M2.5 4.5h11M2.5 8h11M2.5 11.5h11",
  more: "M3 8a.5.5 0 101 0 .5.5 0 10-1 0M7.5 8a.5.5 0 101 0 .5.5 0 10-1 0M12 8a.5.5 0 101 0 .5.5 0 10-1 0",
  search: "M7 12A5 5 0 107 2a5 5 0 000 10zM10.7 10.7L14 14",
  clip: "M12.5 7.5l-5 5a3 3 0 01-4.2-4.2l5.5-5.6a2 2 0 012.9 2.8L6.2 11a1 1 0 01-1.4-1.4l4.7-4.7",
  send: "M8 13V3M4 7l4-4 4 4",
  stop: "M4.5 4.5h7v7h-7z",
  copy: "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z",
  warn: "M8 2L1.8 13h12.4zM8 6.5v3M8 11.3v.01",
  file: "M4 1.5h5L12.5 5v9.5h-8.5zM9 1.5V5h3.5",
  folder: "M1.5 3.5h5l1.5 2h6.5v7.5h-13z",
  terminal: "M2.5 4l4 4-4 4M8 12.5h5.5",
  edit: "M10.5 2.5l3 3-8 8H2.5v-3z",
  read: "M2 3.5c2-.8 4-.8 6 .5 2-1.3 4-1.3 6-.5v9c-2-.8-4-.8-6 .5-2-1.3-4-1.3-6-.5zM8 4v9",
  globe: "M8 14.5a6.5 6.5 0 100-13 6.5 6.5 0 000 13zM1.5 8h13M8 1.5c4 4.5 4 8.500 0 13-4-4.500-4-8.500 0-13",
  agent: "M8 7.500a3 3 0 100-6 3 3 0 000 6zM2.500 14.500c.5-3.500 2.500-5 5.500-5s5 1.500 5.500 5",
  tool: "M10 2.500a3.500 3.500 0 00-3.300 4.700L2 12l2 2 4.800-4.700A3.500 3.500 0 0013.500 6L11 7.500 9 6.500 8.500 5z",
  think: "M8 1.500a4.500 4.500 0 00-2.500 8.200V12h5V9.700A4.500 4.500 0 008 1.500zM6 14.500h4",
  sun: "M8 11a3 3 0 100-6 3 3 0 000 6zM8 1v1.500M8 13.500V15M1 8h1.500M13.500 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1",
  out: "M6.500 2.500h-4v11h4M6 8h8M11 5l3 3-3 3",
  download: "M8 2v8M4.500 6.500L8 10l3.500-3.500M2.500 13.500h11",
  upload: "M8 10V2M4.500 5.500L8 2l3.500 3.500M2.500 13.500h11",
  trash: "M2.500 4h11M6 4V2.500h4V4M4 4l.6 9.500h6.800L12 4",
  fork: "M4.500 2v12M4.500 8.500c0-3 7-1.500 7-5M11.500 3.500v-1M9.500 4.500l2-2 2 2",
  back: "M6 3L2.500 6.500 6 10M2.500 6.500h7a4 4 0 010 7H7",
  question: "M5.500 5.500A2.500 2.500 0 118 8.500v1M8 12.500v.01",
};

export function Icon({ name, class: more = "" }: { name: keyof typeof PATHS & string; class?: string }) {
  return (
    <svg class={`icon ${more}`} viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
      <path d={PATHS[name] ?? ""} fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" />
    </svg>
  );
}
