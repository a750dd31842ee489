// The pages that few visits need: they are loaded together, when one of them is looked at.

export { ReferencePage } from "./reference";
export { ServerPage } from "./server";
export { UsersPage } from "./users";
export { WebhooksPage } from "./webhooks";
