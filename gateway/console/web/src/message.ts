// The messages of /console/events: see console.go and journal/view.go.

export interface Message { now: string; state: State; journal: View }

export interface State {
  version: string; started_at: string; listen: string; draining: boolean;
  in_flight: number; keys: number; cache_entries: number; cache_bytes: number;
  backends: Backend[];
}

export interface Backend {
  name: string; provider: string;
  breaker: 'closed' | 'open' | 'half_open'; retry_after_s: number | null;
  quota: { remaining: number; limit: number } | null;
  last_success_at: string | null; last_error_at: string | null; last_error_code: string;
  running: number; max_concurrent: number; credentials: number;
}

export interface View {
  entry: number; event: number;
  start: number; step_s: number;
  gateway: Series; backends: Record<string, Series>;
  requests: Request[]; events: Event[]; incomplete: Incomplete[];
}

export type Column = (number | null)[];

export interface Series {
  answers: Column; incomplete_answers: Column; caller_errors: Column; failed_answers: Column;
  calls: Column; failures: Column; retries: Column; reads: Column; from_cache: Column;
  p50_ms: Column; p95_ms: Column;
}

export interface Request {
  number: number; at: string; took_ms: number;
  request_id?: string; cause?: string; trace_id?: string; method?: string; route?: string;
  status?: number; code?: string; key_id?: string; sources?: Source[]; calls?: Call[]; more?: number;
  whole: boolean;
}

export interface Source { backend: string; status: string; cache?: string; code?: string; breaker?: string }

export interface Call {
  backend: string; operation: string; after_ms: number; took_ms: number;
  status?: number; error?: string; failed?: boolean; resend?: number; breaker?: string; shared?: string;
}

export interface Event { number: number; at: string; kind: 'breaker' | 'reload'; backend?: string; from?: string; to: string }

export interface Incomplete { backend: string; status: string; code?: string; count: number }
