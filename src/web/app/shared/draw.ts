// The draw of a waiting room, as the server publishes it.

/** What `GET /v1/drops/{drop_id}/draw` says. */
export interface Draw {
  commitment: string;
  state: string;
  seed?: string;
  beacon?: string;
  beacon_source?: string;
  /** Until when public randomness is waited for. */
  beacon_until?: string;
  tickets?: { count: number; root: string };
  result?: string;
  ticket?: { number: number; digest: string; position?: number };
}
