// Requests to the server: the token, errors, and what the page knows of the connection.

import { signal } from "@preact/signals";

const TOKEN = "aod.token";

/** The token that requests carry. It is kept for this tab alone. */
export const token = signal<string | null>(sessionStorage.getItem(TOKEN));
/** Why the login is shown over the page though there was a token. */
export const refused = signal<string | null>(null);
/** Since when the server has not answered. */
export const offlineSince = signal<number | null>(null);

/** The server's clock minus this machine's, in milliseconds. */
let skew = 0;
export const serverNow = (): number => Date.now() + skew;

export interface Problem {
  type: string;
  loc: (string | number)[];
  msg: string;
}

/** A reply that is no success, or no reply at all (status 0). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly detail: string | Problem[],
    readonly requestId: string | null,
    readonly body: Record<string, unknown> = {},
  ) {
    super(typeof detail === "string" ? detail : detail.map((it) => `${it.loc.slice(1).join(".")}: ${it.msg}`).join("; "));
  }

  /** The problems of a body by field, such as `limits.max_rounds`. */
  get fields(): Map<string, string> {
    if (typeof this.detail === "string") return new Map();
    return new Map(this.detail.map((it) => [it.loc.slice(1).join("."), it.msg]));
  }
}

export function logIn(value: string): void {
  sessionStorage.setItem(TOKEN, value);
  token.value = value;
  refused.value = null;
}

/** Forgets everything that this tab kept. */
export function forget(): void {
  sessionStorage.clear();
  token.value = null;
  refused.value = null;
}

const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("aod") : null;

export function logOut(): void {
  channel?.postMessage({ type: "logout" });
  forget();
}

/** Asks tabs that are logged in for their token, and answers those that ask. */
export function shareToken(): Promise<void> {
  if (!channel) return Promise.resolve();
  const asked = token.value === null;
  return new Promise((resolve) => {
    channel.onmessage = ({ data }: MessageEvent<{ type: string; token?: string }>) => {
      if (data.type === "ask" && token.value && !refused.value) {
        channel.postMessage({ type: "token", token: token.value });
      } else if (data.type === "token" && asked && !token.value && data.token) {
        logIn(data.token);
        resolve();
      } else if (data.type === "logout") {
        forget();
      }
    };
    if (!asked) return resolve();
    channel.postMessage({ type: "ask" });
    setTimeout(resolve, 120);
  });
}

export interface Options {
  body?: unknown;
  /** Sent as it is instead of `body` as JSON. */
  raw?: BodyInit;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** A 401 may mean that an administrator is needed. */
  admin?: boolean;
}

/** Makes a request and returns its reply, whatever its status. */
export async function request(method: string, path: string, options: Options = {}): Promise<Response> {
  const headers: Record<string, string> = { accept: "application/json", ...options.headers };
  if (token.value && !headers.authorization) headers.authorization = `Bearer ${token.value}`;
  let body = options.raw;
  if (options.body !== undefined) {
    headers["content-type"] = "application/json";
    body = JSON.stringify(options.body);
  }
  let reply: Response;
  try {
    reply = await fetch(path, { method, headers, body, signal: options.signal, credentials: "omit", cache: "no-store" });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    offlineSince.value ??= Date.now();
    throw new ApiError(0, "The server does not answer. Check that it runs; nothing that you typed is lost.", null);
  }
  offlineSince.value = null;
  const date = Date.parse(reply.headers.get("date") ?? "");
  if (date && Math.abs(date + 500 - Date.now() - skew) > 1500) skew = date + 500 - Date.now();
  return reply;
}

/** The error that a reply is. */
export async function failure(reply: Response, admin = false): Promise<ApiError> {
  const body = (await reply.json().catch(() => ({}))) as Record<string, unknown>;
  const detail = (body.detail as string | Problem[] | undefined) ?? `The server answered ${reply.status}.`;
  if (reply.status === 401 && !admin) {
    refused.value = typeof detail === "string" ? detail : "Log in again.";
  }
  return new ApiError(reply.status, detail, reply.headers.get("x-request-id"), body);
}

/** Makes a request and returns the JSON of its reply; other replies are errors. */
export async function call<T>(method: string, path: string, options: Options = {}): Promise<T> {
  const reply = await request(method, path, options);
  if (!reply.ok) throw await failure(reply, options.admin);
  return (await reply.json()) as T;
}

export const get = <T>(path: string, options?: Options): Promise<T> => call<T>("GET", path, options);
export const post = <T>(path: string, body?: unknown, headers?: Record<string, string>): Promise<T> =>
  call<T>("POST", path, { body, headers });

/** A random key, also where the page is on no secure origin. */
export function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
