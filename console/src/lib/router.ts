// Pages by the URL's hash: the server owns its paths.

import { signal } from "@preact/signals";

export interface Route {
  page: string;
  rest: string[];
  query: URLSearchParams;
}

function parse(): Route {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [page = "", ...rest] = path.split("/").map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return { page: page || "sessions", rest, query: new URLSearchParams(query) };
}

export const route = signal<Route>(parse());
/** Reads the address again. */
export const reread = (): void => void (route.value = parse());
addEventListener("hashchange", reread);

export function go(hash: string): void {
  location.hash = hash;
}
