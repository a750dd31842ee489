// What the API says, as far as the console reads it. `/openapi.json` has all of it.

export type Status = "pending" | "running" | "completed" | "failed" | "terminated";

export interface Usage {
  input_tokens: number;
  output_tokens: number;
  cached_tokens: number;
  cost_usd: number | null;
}

export interface Limits {
  max_rounds?: number;
  max_output_tokens?: number;
  max_cost_usd?: number;
}

export interface Resource {
  type: string;
  url: string;
  mount_path: string | null;
  checkout?: string;
  commit?: string;
}

export interface Session {
  id: string;
  agent_id: string | null;
  environment_id: string | null;
  runtime: string;
  model: string;
  status: Status;
  exit_code: number | null;
  created_at: string;
  updated_at: string;
  resources: Resource[];
  settings: Record<string, unknown>;
  limits?: Limits;
  title?: string;
  metadata?: Record<string, string>;
  turn_count: number;
  current_turn: number | null;
  usage: Usage;
  error: string | null;
  resumable: boolean;
  agent_version: number | null;
  environment_version: number | null;
  queue_position?: number;
  forked_from?: { session_id: string; turn: number };
  restored_to?: number;
  sizes?: { home: number; workspace: number; log: number; partial: boolean };
}

export interface PendingQuestion {
  request_id: string;
  kind: "permission" | "question" | "tool";
  title: string;
}

export type SessionsEvent =
  | { type: "session"; session: Session; questions: PendingQuestion[] }
  | { type: "deleted"; session_id: string }
  | { type: "ready"; count: number };

export interface Failure {
  kind: string;
  message: string;
  retry_at?: string;
}

export interface TurnResult {
  stop: string;
  text: string | null;
  is_error: boolean;
  stop_reason: string | null;
  duration_ms: number;
  failure?: Failure;
  structured?: unknown;
}

export type PromptBlock =
  | { type: "text"; text: string }
  | { type: "image" | "file"; attachment: { name?: string; path?: string; media_type?: string; size?: number } }
  | { type: "workspace_file"; path: string };

export interface Turn {
  turn_number: number;
  prompt: string;
  blocks?: PromptBlock[];
  status: Status;
  outcome: "completed" | "failed" | "interrupted" | "terminated" | null;
  exit_code: number | null;
  created_at: string;
  started_at: string | null;
  ended_at: string | null;
  error: string | null;
  undone?: boolean;
  continues?: number;
  result: TurnResult | null;
  usage: Usage;
  /** What the model's providers said themselves. */
  provider_usage?: ProviderUsage;
}

export type ProviderUsage = Omit<Usage, "cost_usd"> & { requests: number };

export interface QueuedPrompt {
  id: string;
  position: number;
  prompt: string;
  blocks?: PromptBlock[];
  created_at: string;
}

export interface RuntimeOption {
  id: string;
  label: string;
  description: string;
  schema: Record<string, unknown>;
  default: unknown;
  scope: string;
}

export interface RuntimeCredential {
  name: string;
  variable: string;
  label: string;
}

export interface Runtime {
  name: string;
  health: "compiling" | "ready" | "stale" | "disabled" | "failed";
  models: string[];
  credentials: RuntimeCredential[];
  capabilities: { name: string; values?: string[] }[];
  options: RuntimeOption[];
  adapter: string | null;
  adapter_version: string | null;
  adapter_digest: string | null;
  cli_version: string | null;
  cli_tested: boolean | null;
  tested: string | null;
  command: string | null;
  interface_version: string | null;
  error: string | null;
  warning: string | null;
}

export interface Agent {
  id: string;
  name: string;
  description: string | null;
  system: string | null;
  runtime: string;
  model: string;
  environment_id: string | null;
  skills: unknown[];
  mcp_servers: unknown[];
  metadata: Record<string, string>;
  version: number;
  archived_at: string | null;
  created_at: string;
  updated_at: string;
  [key: string]: unknown;
}

export interface Environment {
  id: string;
  name: string;
  setup_script: string | null;
  networking: { type: string; allowed_hosts: string[] };
  version: number;
  archived_at: string | null;
  created_at: string;
  updated_at: string;
  [key: string]: unknown;
}

export interface Checkpoint {
  turn: number;
  state: "pending" | "ready" | "failed";
  error: string | null;
}

export interface Listing<T> {
  data: T[];
  next?: string;
}

// --- normalized events (docs/events.schema.json) ---

export interface Diff {
  path: string;
  unified: string;
}
export interface Part {
  image?: { media_type: string; data: string };
  diff?: Diff;
  link?: { uri: string; name?: string };
  json?: unknown;
}

export interface ToolCall {
  call_id: string;
  name: string;
  kind: string;
  input: unknown;
  title?: string;
  canonical_name?: string;
  server?: string;
  locations?: { path: string; line?: number }[];
}

export interface PermissionRequest {
  request_id: string;
  kind: "permission" | "question";
  title: string;
  detail: unknown;
  call_id?: string;
  choices: { id: string; label: string; meaning?: string }[];
  editable: boolean;
  default: string;
  deadline_ms: number;
}

/** A call of one of the agent's own tools, which waits for its user's answer. */
export interface ToolRequest {
  request_id: string;
  name: string;
  input: unknown;
  default: { content: string; is_error?: boolean };
  deadline_ms: number;
}

export type EventBody =
  | { type: "session.started"; native_session_id: string }
  | { type: "turn.started"; cause: string; continuity: string }
  | { type: "message.delta" | "reasoning.delta"; message: number; text: string }
  | { type: "message"; role: "assistant" | "user" | "system"; text: string; parts?: Part[]; aborted?: boolean }
  | { type: "message.discarded"; message: number; reason: string }
  | { type: "reasoning"; text: string }
  | ({ type: "tool.call" } & ToolCall)
  | { type: "tool.update"; call_id: string; output?: string; title?: string; locations?: { path: string }[] }
  | { type: "tool.result"; call_id: string; output: string; is_error: boolean; parts?: Part[] }
  | { type: "file.change"; path: string; kind: string; call_id?: string; diff?: string; moved_from?: string; seen_by_host?: boolean }
  | { type: "todo"; items: { text: string; status: "pending" | "in_progress" | "completed" }[] }
  | { type: "usage"; input_tokens: number; output_tokens: number; cached_tokens: number; cost_usd?: number; model?: string }
  | { type: "notice"; level: "info" | "warning" | "error"; text: string; code?: string }
  | { type: "task"; task_id: string; state: string; kind: string; title?: string; call_id?: string }
  | { type: "mcp.server"; name: string; state: string; message?: string }
  | { type: "compaction"; done: boolean; tokens_before?: number; tokens_after?: number }
  | ({ type: "permission.request" } & PermissionRequest)
  | { type: "permission.answer"; request_id: string; answer: string; by_default: boolean }
  | { type: "permission.withdrawn"; request_id: string }
  | ({ type: "tool.request" } & ToolRequest)
  | { type: "tool.answer"; request_id: string; content: string; is_error: boolean; by_default: boolean }
  | { type: "tool.withdrawn"; request_id: string }
  | { type: "turn.input"; input_id: string; state: string; text?: string; reason?: string }
  | ({ type: "turn.result" } & TurnResult)
  | { type: "unparsed"; data: string }
  | { type: "other"; kind: string; json: unknown };

export type Event = EventBody & {
  id: string;
  turn: number | null;
  ordinal: number;
  at: string;
  inside?: string;
  truncated?: string[];
};

export interface EventsPage {
  data: Event[];
  next?: string;
  prev?: string;
}
