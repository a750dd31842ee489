// The page as a whole: login, navigation, keys, and what all pages share.

import { render } from "preact";
import { useEffect } from "preact/hooks";
import { forget, logIn, logOut, offlineSince, refused, request, shareToken, token } from "./lib/api";
import { second } from "./lib/format";
import { go, reread, route } from "./lib/router";
import { asking, followSessions, forgetSessions } from "./lib/sessions";
import { takeSlot } from "./lib/sse";
import { forgetDrafts, readRuntimes } from "./log/composer";
import { Palette, initKeys, keysShown, paletteShown, KeyList } from "./ui/keys";
import { Menu, announced, toasts } from "./ui/basics";
import { Icon } from "./ui/icons";
import { theme, cycleTheme } from "./ui/theme";
import { Login, Logo } from "./pages/login";
import { NewPage } from "./pages/new";
import { SessionPage, current } from "./pages/session";
import { SessionsPage } from "./pages/sessions";
import { AgentsPage, EnvironmentsPage } from "./pages/templates";
import { CredentialsPage } from "./pages/credentials";
import { RuntimesPage } from "./pages/runtimes";
import { Later } from "./ui/later";
import { titleOf } from "./ui/basics";

const rare = () => import("./pages/rare");
const WebhooksPage = Later(rare, (it) => it.WebhooksPage);
const ServerPage = Later(rare, (it) => it.ServerPage);
const UsersPage = Later(rare, (it) => it.UsersPage);
const ReferencePage = Later(rare, (it) => it.ReferencePage);

const PAGES: [string, string][] = [
  ["sessions", "Sessions"], ["agents", "Agents"], ["environments", "Environments"], ["credentials", "Credentials"],
  ["runtimes", "Runtimes"], ["webhooks", "Webhooks"], ["server", "Server"],
];

function Page() {
  const { page, rest } = route.value;
  switch (page) {
    case "sessions": return <SessionsPage />;
    case "s": return <SessionPage id={rest[0] ?? ""} />;
    case "new": return <NewPage />;
    case "agents": return <AgentsPage id={rest[0]} />;
    case "environments": return <EnvironmentsPage id={rest[0]} />;
    case "credentials": return <CredentialsPage />;
    case "runtimes": return <RuntimesPage name={rest[0]} />;
    case "webhooks": return <WebhooksPage id={rest[0]} />;
    case "server": return <ServerPage />;
    case "users": return <UsersPage />;
    case "api": return <ReferencePage />;
    default: return <main class="page"><h1>Nothing here</h1><p>There is no page <code>{page}</code>. <a href="#/sessions">Go to the sessions</a>.</p></main>;
  }
}

function Nav() {
  const page = route.value.page;
  const asks = asking().length;
  const at = page === "s" || page === "new" ? "sessions" : page === "users" || page === "api" ? "server" : page;
  return (
    <header class="top">
      <button type="button" class="skip" onClick={() => {
        const main = document.querySelector<HTMLElement>("main");
        main?.setAttribute("tabindex", "-1");
        main?.focus();
      }}>Skip to the content</button>
      <a class="brand" href="#/sessions" aria-label="aod, sessions"><Logo /><span class="wide-only">aod</span></a>
      <nav class="narrow-only" aria-label="Pages">
        <Menu label={`Pages: ${PAGES.find(([name]) => name === at)?.[1] ?? page}`} icon="menu">
          {(close) => (
            <>
              {PAGES.map(([name, label]) => <a key={name} class="button" href={`#/${name}`} aria-current={at === name ? "page" : undefined} onClick={close}>{label}{name === "sessions" && asks > 0 ? <span class="badge asks" aria-label={`${asks} need you`}>{asks}</span> : null}</a>)}
              <a class="button" href="/docs" target="_blank" rel="noopener" onClick={close}>Docs</a>
            </>
          )}
        </Menu>
        {asks > 0 ? <a class="button quiet" href="#/sessions" aria-label={`${asks} need you`}><span class="badge asks">{asks}</span></a> : null}
      </nav>
      <nav class="pages wide-only" aria-label="Pages">
        {PAGES.map(([name, label]) => (
          <a key={name} href={`#/${name}`} aria-current={at === name ? "page" : undefined}>
            {label}{name === "sessions" && asks > 0 ? <span class="badge asks" aria-label={`${asks} need you`}>{asks}</span> : null}
          </a>
        ))}
        <a href="/docs" target="_blank" rel="noopener">Docs</a>
      </nav>
      <span class="grow" />
      <button type="button" class="quiet icon-only" aria-label="Commands" title="Commands (Ctrl+K)" onClick={() => (paletteShown.value = true)}><Icon name="search" /></button>
      <button type="button" class="quiet icon-only" aria-label={`Colours: ${theme.value}`} title={`Colours: ${theme.value}`} onClick={cycleTheme}><Icon name="sun" /></button>
      <button type="button" class="quiet icon-only" aria-label="Log out" title="Log out" onClick={logOut}><Icon name="out" /></button>
    </header>
  );
}

function Offline() {
  const since = offlineSince.value;
  if (!since) return null;
  void second.value;
  if (Date.now() - since < 3000) return null;
  return <div class="banner" role="status"><span class="spin" />The server does not answer. Trying again; drafts are kept.</div>;
}

/** How the tab is called: with the number of sessions that need the user. */
function useTitle(): void {
  const asks = asking().length;
  const session = current.value?.log.session.value;
  const page = PAGES.find(([name]) => name === route.value.page)?.[1];
  const name = session ? titleOf(session) : (page ?? "aod");
  const title = `${asks > 0 ? `(${asks}) ` : ""}${name}${name === "aod" ? "" : " · aod"}`;
  useEffect(() => { document.title = title; }, [title]);
}

function Pages() {
  const inSession = route.value.page === "s";
  useTitle();
  useEffect(() => {
    if (!inSession) followSessions("stream");
  }, [inSession]);
  // While the server is gone, nothing else may notice that it is back.
  useEffect(() => {
    const timer = setInterval(() => {
      if (offlineSince.value && !document.hidden) void request("GET", "/health").catch(() => undefined);
    }, 3000);
    return () => clearInterval(timer);
  }, []);
  return (
    <>
      <Nav />
      <Offline />
      <Page />
      {paletteShown.value ? <Palette pages={PAGES} /> : null}
      {keysShown.value ? <KeyList /> : null}
    </>
  );
}

function App() {
  const out = token.value === null;
  useEffect(() => {
    if (!out) return;
    forgetSessions();
    forgetDrafts();
  }, [out]);
  return (
    <>
      {out ? <Login /> : <Pages />}
      {!out && refused.value ? <div class="login-over" role="dialog" aria-modal="true" aria-label="Log in again"><Login /></div> : null}
      <div class="toasts">{toasts.value.map((it) => <div key={it.id} class={`toast ${it.bad ? "bad" : ""}`}>{it.text}</div>)}</div>
      <div class="sr-only" aria-live="polite" role="status">{announced.value}</div>
    </>
  );
}

/** Trades the code of a login link for a token, and takes it out of the address at once. */
async function loginLink(): Promise<void> {
  const code = /^#\/?login=([\w-]+)$/.exec(location.hash)?.[1];
  if (!code) return;
  history.replaceState(null, "", location.pathname);
  reread();
  forget();
  try {
    const reply = await request("POST", "/login", { body: { code } });
    const body = (await reply.json()) as { token?: string; detail?: unknown };
    if (reply.ok && body.token) logIn(body.token);
    else refused.value = typeof body.detail === "string" ? body.detail : "This login link is not good any more.";
  } catch (error) {
    refused.value = error instanceof Error ? error.message : "The login link could not be used.";
  }
}

async function start(): Promise<void> {
  await loginLink();
  await shareToken();
  if (token.value) {
    // A token of an earlier visit may have been revoked.
    void readRuntimes().catch(() => undefined);
  }
  takeSlot();
  initKeys();
  const place = document.getElementById("app");
  if (place) render(<App />, place);
  if (route.value.page === "login") go("/sessions");
}
void start();
