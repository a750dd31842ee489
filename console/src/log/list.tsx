// The conversation's rows, of which only those in sight are elements.

import {
  Virtualizer, elementScroll, observeElementOffset, observeElementRect,
} from "@tanstack/virtual-core";
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Icon } from "../ui/icons";
import type { Row } from "./fold";
import { RowView } from "./rows";
import type { SessionLog } from "./session";

/** Pixels from the end that still count as the end. */
const NEAR = 32;

const ESTIMATES: Record<Row["kind"], number> = {
  turn: 96, text: 90, thought: 34, tool: 38, group: 38, file: 60, seen: 38, notice: 34, ask: 48, task: 34, input: 70, end: 40, unparsed: 34,
};

export interface ListHandle {
  toKey: (key: string) => void;
  toEnd: () => void;
  scroller: HTMLElement | null;
}

export function RowList({ log, head, foot, handle }: { log: SessionLog; head: ComponentChildren; foot: ComponentChildren; handle: { current: ListHandle | null } }) {
  const { root } = log.fold;
  void root.changed.value;
  const rows = root.rows;
  const scroller = useRef<HTMLDivElement>(null);
  const inner = useRef<HTMLDivElement>(null);
  const [, paint] = useState(0);
  const stick = useRef(true);
  const [away, setAway] = useState(false);
  const seen = useRef(0);
  const virtual = useRef<Virtualizer<HTMLDivElement, HTMLDivElement> | null>(null);

  const options = {
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: (index: number) => ESTIMATES[rows[index]?.kind ?? "text"],
    getItemKey: (index: number) => rows[index]?.key ?? index,
    scrollToFn: elementScroll,
    observeElementRect,
    observeElementOffset,
    overscan: 6,
    gap: 10,
    anchorTo: "end" as const,
    scrollMargin: 0,
    useAnimationFrameWithResizeObserver: false,
    onChange: () => paint((n) => n + 1),
  };
  if (!virtual.current) virtual.current = new Virtualizer<HTMLDivElement, HTMLDivElement>(options);
  const list = virtual.current;
  list.setOptions(options);
  useLayoutEffect(() => list._didMount(), []);
  useLayoutEffect(() => list._willUpdate());

  const toEnd = () => {
    stick.current = true;
    seen.current = log.appended.value;
    setAway(false);
    const element = scroller.current;
    if (element) element.scrollTop = element.scrollHeight;
  };

  // What grows at the end stays in sight for those who are there.
  useEffect(() => {
    const element = scroller.current;
    const content = inner.current;
    if (!element || !content) return;
    let lastTop = element.scrollTop;
    let lastHeight = element.scrollHeight;
    const onScroll = () => {
      const { scrollTop, scrollHeight, clientHeight } = element;
      const distance = scrollHeight - scrollTop - clientHeight;
      if (distance <= NEAR) {
        stick.current = true;
        seen.current = log.appended.value;
      } else if (scrollTop < lastTop - 2 && scrollHeight >= lastHeight) {
        stick.current = false;
      }
      lastTop = scrollTop;
      lastHeight = scrollHeight;
      setAway(!stick.current);
      if (scrollTop < clientHeight * 2 && log.prev.value) void log.older().catch(() => undefined);
      if (distance < clientHeight * 2 && log.next.value) void log.newer().catch(() => undefined);
    };
    // Before the list changes its rows, so that what is read here lays nothing out once more.
    const how = { passive: true, capture: true };
    element.addEventListener("scroll", onScroll, how);
    const observer = new ResizeObserver(() => {
      if (stick.current && !log.next.value) {
        element.scrollTop = element.scrollHeight;
        lastTop = element.scrollTop;
      }
      lastHeight = element.scrollHeight;
    });
    observer.observe(content);
    observer.observe(element);
    element.scrollTop = element.scrollHeight;
    return () => {
      element.removeEventListener("scroll", onScroll, how);
      observer.disconnect();
    };
  }, [log]);

  handle.current = {
    scroller: scroller.current,
    toEnd,
    toKey: (key) => {
      const at = log.fold.root.rows.findIndex((row) => row.key === key);
      if (at < 0) return;
      stick.current = false;
      setAway(true);
      list.scrollToIndex(at, { align: "start" });
    },
  };

  const fresh = log.appended.value - seen.current;
  return (
    <div class="log-holder">
      <div class="log" ref={scroller} role="log" aria-live="off" aria-label="Conversation" tabIndex={0}>
        <div class="log-inner" ref={inner}>
          {head}
          <div class="rows" style={{ height: `${list.getTotalSize()}px` }}>
            {list.getVirtualItems().map((item) => {
              const row = rows[item.index];
              if (!row) return null;
              return (
                <div
                  key={item.key}
                  ref={list.measureElement}
                  data-index={item.index}
                  data-key={row.key}
                  class="row-holder"
                  role="article"
                  aria-posinset={item.index + 1}
                  aria-setsize={log.prev.value || log.next.value ? -1 : rows.length}
                  style={{ transform: `translateY(${item.start}px)` }}
                >
                  <RowView row={row} />
                </div>
              );
            })}
          </div>
          {foot}
        </div>
      </div>
      {away || log.next.value ? (
        <button type="button" class="to-end" onClick={() => (log.next.value ? void log.toEnd().then(toEnd) : toEnd())}>
          <Icon name="down" />{fresh > 0 && !log.next.value ? `${fresh} new` : "To the end"}
        </button>
      ) : null}
    </div>
  );
}
