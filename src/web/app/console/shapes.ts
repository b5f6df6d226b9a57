// The resources as the server writes them (src/http/README.md).
export interface Page<T> {
  data: T[];
  has_more: boolean;
  next_after?: number;
}

export interface Drop {
  id: number;
  sku: string;
  name: string;
  description?: string;
  image_url?: string;
  currency: string;
  unit_price: number;
  total: number;
  available: number;
  held: number;
  sold: number;
  state: "ended" | "paused" | "scheduled" | "sold_out" | "live";
  starts_at: string;
  ends_at?: string;
  per_buyer_limit: number;
  reservation_seconds: number;
  payment_seconds: number;
  revision: number;
  challenge?: string;
  challenge_below?: string;
  identity_limits?: Record<string, number>;
  room?: RoomRule;
  /** Buyers who stand by. */
  standby?: number;
  /** The time after the start in which orders are recorded and drawn, in milliseconds. */
  blind_ms?: number;
  /** SHA-256 of the secret seed of its draw. */
  commitment?: string;
}

/** The parameters of a waiting room. */
export interface RoomRule {
  opens_at: string;
  draw: "arrival" | "random";
  admit_per_second: number;
  order_seconds: number;
  oversubscribe_percent: number;
  beacon?: "required" | "none";
  beacon_seconds?: number;
}

export interface Order {
  id: string;
  code: string;
  drop_id: number;
  buyer: string;
  quantity: number;
  unit_price: number;
  amount: number;
  currency: string;
  state: string;
  seq: number;
  reserved_at: string;
  expires_at: string;
  payment_url?: string;
  paid_at?: string;
  ended_at?: string;
  end_reason?: string;
  refunded_amount: number;
  refund_due_amount?: number;
}

export interface Payment {
  provider: string;
  reference: string;
  amount: number;
  currency: string;
  pays: boolean;
  refunded_amount: number;
  refund_due_amount: number;
  seq: number;
}

export interface Happening {
  seq: number;
  at: string;
  kind: string;
  text: string;
}

export interface Auction {
  id: number;
  name: string;
  sku: string;
  currency: string;
  state: string;
  starts_at: string;
  ends_at: string;
  start_price: number;
  current?: number;
  buyer?: string;
  bids: number;
  minimum_next: number;
  reserve_met: boolean;
  buy_now?: number;
  drop_id: number;
}

export interface Endpoint {
  id: number;
  url: string;
  events: string[];
  state: "enabled" | "disabled";
  configured: boolean;
  position: number;
  waiting: number;
  dead: number;
  created_at: string;
  secret?: string;
}

export interface Delivery {
  seq: number;
  at: string;
  attempts: number;
  next_at?: string;
  trouble: string;
  type?: string;
  order_seq?: number;
}

export interface UndoReport {
  drop_id: number;
  drop_state: string;
  run?: string;
  orders: { order: Order; to_do?: "cancel" | "refund"; ending?: string; problem?: string }[];
  next_below?: number;
}

export interface AuditRow {
  seq: number;
  at: string;
  kind: string;
  drop_id?: number;
  order_seq?: number;
  quantity?: number;
  amount?: number;
  detail?: Record<string, unknown>;
}

export interface Alert {
  name: string;
  severity: string;
  state: string;
  summary: string;
  description?: string;
  since?: string;
  has_runbook: boolean;
}

export interface Gauge {
  name: string;
  severity: string;
  condition: string;
  value: number;
  threshold: number;
  fires: boolean;
}

export interface Alerts {
  at: string;
  source: "prometheus" | "gauges";
  unheard?: string;
  alerts: Alert[];
  gauges: Gauge[];
}

export interface Setting {
  key: string;
  value?: string;
  default: string;
  unit: string;
  why: string;
  source: string;
}

export interface Bid {
  auction_id: number;
  buyer: string;
  amount: number;
  leading: boolean;
  current: number;
  seq: number;
  at: string;
}

export interface OperatorToken {
  id: string;
  name: string;
  role: string;
  state: "in_force" | "expired" | "revoked";
  created_at: string;
  expires_at?: string;
  revoked_at?: string;
  token?: string;
}

export interface Backup {
  number: number;
  state: "running" | "made" | "failed";
  to: string;
  compression: string;
  started_at: string;
  ended_at?: string;
  file?: string;
  seq?: number;
  orders?: number;
  bytes?: number;
  error?: string;
}

export interface Preflight {
  at: string;
  drop_id?: number;
  checks: { check: string; verdict: "pass" | "warn" | "fail"; found: string; to_do?: string }[];
  pass: number;
  warn: number;
  fail: number;
}

export interface BuyerTier {
  buyer: string;
  tier: string;
  source: "operator" | "risk" | "default";
  reason?: string;
  expires_at?: string;
  risk_score?: number;
  risk_signals?: string[];
}
