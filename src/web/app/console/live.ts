// The live page: what is wrong, six numbers, two charts, the drops with their levers, what happened last, and refunds due.
import { charts } from "./charts";
import { readAudit, reasonOf, sentence } from "./audit";
import { bytes, figure, millis } from "./format";
import { ask, may } from "./session";
import type { AuditRow, Drop, Order, Page } from "./shapes";
import { stream } from "./stream";
import { dropsOf } from "./drops";

const ROWS_MAX = 9;
/** Events before now among which the last rows are looked for. */
const LOOK_BACK = 50_000;

interface Tile {
  label: string;
  value: string;
  note: string;
  level: string;
}

function tiles(): Tile[] {
  const frame = stream.frame;
  const rates = frame?.rates;
  const p99 = (stage: string) => rates?.latencies.find((latency) => latency.stage === stage)?.p99_ms;
  const gauges = frame?.gauges ?? {};
  const gauge = (name: string) => gauges[name] ?? 0;
  const share = frame && frame.queue_capacity > 0 ? frame.queue_depth / frame.queue_capacity : 0;
  const turned = rates ? rates.refused + rates.rejected : undefined;
  const wrong = gauge("oversold_units") + gauge("undersold_units");
  return [
    { label: "Queue", value: figure(frame?.queue_depth), note: `of ${figure(frame?.queue_capacity)} · wait p99 ${millis(p99("queue"))}`, level: share > 0.8 ? "bad" : share > 0.5 ? "warn" : "" },
    { label: "Orders/s", value: figure(rates?.orders), note: `peak ${figure(stream.peak)} in 5 min`, level: "" },
    { label: "Refused/s", value: figure(turned), note: `${figure(rates?.rejected)} of them not admitted`, level: "" },
    { label: "Answer p99", value: millis(p99("order")), note: `commit ${millis(p99("commit"))} · reads ${millis(p99("read"))}`, level: (p99("order") ?? 0) > 150 ? "bad" : "" },
    { label: "Refunds due", value: figure(gauge("refunds_due")), note: gauge("refunds_due") > 0 ? "money is owed to buyers" : "no money is owed", level: gauge("refunds_due") > 0 ? "bad" : "" },
    { label: "Oversold / undersold", value: frame ? `${figure(gauge("oversold_units"))} / ${figure(gauge("undersold_units"))}` : figure(undefined), note: `recount ${figure(gauge("audit_lag"))} events behind`, level: wrong > 0 ? "bad" : "good" },
  ];
}

/** Figures of the machine and of what the server owes others. */
function facts(): { name: string; value: string }[] {
  const frame = stream.frame;
  if (!frame) return [];
  const gauge = (name: string) => frame.gauges[name] ?? 0;
  return [
    { name: "Outbox behind", value: millis(gauge("outbox_age_seconds") * 1000).replace("0 µs", "0 s") },
    { name: "Dead letters", value: figure(gauge("dead_letters") + gauge("mail_dead_letters")) },
    { name: "Write-ahead log", value: bytes(gauge("wal_bytes")) },
    { name: "Disk free", value: bytes(gauge("disk_free_bytes")) },
    { name: "Memory", value: bytes(gauge("resident_bytes")) },
    { name: "Descriptors", value: `${figure(gauge("descriptors"))} of ${figure(gauge("descriptors_max"))}` },
    { name: "Buyers connected", value: figure(gauge("buyers_connected") + gauge("wire_connections")) },
    { name: "Clock off by", value: `${gauge("clock_offset_seconds").toFixed(3)} s` },
  ];
}

export function livePage() {
  let drawn: ReturnType<typeof charts> | undefined;
  let following: AbortController | undefined;
  return {
    drops: [] as Drop[],
    isLoaded: false,
    refunds: [] as Order[],
    rows: [] as AuditRow[],
    timer: 0,
    init(this: { $el: HTMLElement; refresh(): void; follow(): void; timer: number }) {
      const box = (name: string) => this.$el.querySelector<HTMLElement>(`[data-chart="${name}"]`);
      const [orders, queue] = [box("orders"), box("queue")];
      if (orders && queue) drawn = charts(orders, queue, () => stream.frame?.queue_capacity ?? 0);
      this.refresh();
      this.follow();
      this.timer = window.setInterval(() => this.refresh(), 4000);
    },
    destroy(this: { timer: number }) {
      drawn?.end();
      following?.abort();
      clearInterval(this.timer);
    },
    /** Draws the newest points; they are counted in the page, so that each one draws. */
    draw(_points: number) {
      drawn?.fill();
    },
    /** What the charts show, for those who do not see them. */
    chartWords(): string {
      const rates = stream.frame?.rates;
      return rates ? `Now ${figure(rates.orders)} orders and ${figure(rates.refused + rates.rejected)} turned down per second; the peak of 5 minutes was ${figure(stream.peak)} orders.` : "No figures yet.";
    },
    async refresh(this: { drops: Drop[]; isLoaded: boolean; refunds: Order[] }) {
      const drops = await dropsOf(20);
      if (drops) {
        this.drops = drops;
        this.isLoaded = true;
      }
      if (may("operator")) {
        const answer = await ask<Page<Order>>("/v1/orders?refund_due=true&limit=6");
        if (answer.kind === "ok") this.refunds = answer.body.data;
      }
    },
    /** Follows the audit, with the last rows before now. */
    async follow(this: { rows: AuditRow[] }) {
      following?.abort();
      const mine = new AbortController();
      following = mine;
      let since = Math.max(0, (stream.frame?.seq ?? 0) - LOOK_BACK);
      while (!mine.signal.aborted) {
        await readAudit(`follow=true&without_buyers=true&since_seq=${since}`, mine.signal, (rows) => {
          const last = rows.at(-1);
          if (last) since = last.seq;
          this.rows = [...rows.slice(-ROWS_MAX).reverse(), ...this.rows].slice(0, ROWS_MAX);
        });
        await new Promise((go) => setTimeout(go, 2000));
      }
    },
    tiles,
    facts,
    outcomes: () => stream.frame?.rates?.outcomes ?? [],
    sentence,
    reasonOf,
  };
}
