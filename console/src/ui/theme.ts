// Dark and light: as the system says, unless the user chose.

import { effect, signal } from "@preact/signals";

type Theme = "system" | "light" | "dark";
const ORDER: Theme[] = ["system", "light", "dark"];
const STORE = "aod.theme";

function stored(): Theme {
  try {
    const value = localStorage.getItem(STORE) as Theme | null;
    return value && ORDER.includes(value) ? value : "system";
  } catch {
    return "system";
  }
}

export const theme = signal<Theme>(stored());
effect(() => {
  if (theme.value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
});

export function cycleTheme(): void {
  theme.value = ORDER[(ORDER.indexOf(theme.value) + 1) % ORDER.length] ?? "system";
  try {
    localStorage.setItem(STORE, theme.value);
  } catch {
    // It holds for this page then.
  }
}
