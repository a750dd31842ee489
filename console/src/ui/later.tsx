// Pages that few visits need are loaded when they are looked at.

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Loading } from "./basics";

/** A page that is loaded at its first use. */
export function Later<M, P extends object>(load: () => Promise<M>, choose: (module: M) => (props: P) => ComponentChildren): (props: P) => ComponentChildren {
  let found: ((props: P) => ComponentChildren) | null = null;
  return function Loaded(props: P) {
    const [failed, setFailed] = useState(false);
    const [, paint] = useState(0);
    useEffect(() => {
      if (found) return;
      load().then((it) => {
        found = choose(it);
        paint((n) => n + 1);
      }, () => setFailed(true));
    }, []);
    if (found) {
      const Page = found;
      return <Page {...props} />;
    }
    return (
      <main class="page">
        <h1 class="sr-only">Loading</h1>
        {failed ? <p class="note bad" role="alert"><span class="grow">This page could not be loaded: the server does not answer, or is another version by now.</span><button type="button" class="small" onClick={() => location.reload()}>Reload</button></p> : <Loading />}
      </main>
    );
  };
}
