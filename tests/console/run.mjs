// Runs the checks of a file, one after the other, and says how long each took.

import { Lab } from "./lab.mjs";

const name = process.argv[2];
const only = process.env.AOD_TEST_ONLY;
const { checks } = await import(`./checks/${name}.mjs`);
const lab = await Lab.open();
let failed = 0;
for (const [what, check] of Object.entries(checks)) {
  if (only && !what.includes(only)) continue;
  const begun = performance.now();
  try {
    const more = await check(lab);
    console.log(`ok ${what} (${Math.round(performance.now() - begun)} ms)${more ? `: ${more}` : ""}`);
  } catch (error) {
    failed++;
    console.log(`FAILED ${what}: ${error.stack}`);
  } finally {
    await lab.closeAll();
  }
}
try {
  await lab.end();
} catch (error) {
  failed++;
  console.log(`FAILED in the end: ${error.message}`);
}
process.exit(failed > 0 ? 1 : 0);
