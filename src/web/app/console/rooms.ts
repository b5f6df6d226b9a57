// The waiting room or the blind window of a drop: members in the form, and line and draw on the drop's page.
import type { Field } from "./dialog";
import { figure, fromLocalField, length, many, NOTHING, toLocalField } from "./format";
import { ask } from "./session";
import type { Drop } from "./shapes";
import { serverNow } from "../shared/api";
import type { Draw } from "../shared/draw";
import { RATE_FOR_MS, type Room } from "../shared/room";
import { count } from "../shared/words";

type Texts = Record<string, string>;

/** Time for the first tickets of a new drop, before its start. */
const OPEN_BEFORE_MS = 300_000;

const DRAWS = [
  { value: "none", label: "none: orders count as they come" },
  { value: "random", label: "yes, the line is drawn by lot" },
  { value: "arrival", label: "yes, the line is in the order of arrival" },
  { value: "blind", label: "none, but orders of the first moments are drawn by lot" },
];
const BEACONS = [
  { value: "none", label: "not used" },
  { value: "required", label: "awaited before the draw" },
];

const RATE: Field = { name: "room_admit_per_second", label: "Buyers admitted per second, at most", kind: "number", value: "50", min: 1, max: 1_000_000 };
const PERCENT: Field = {
  name: "room_oversubscribe_percent", label: "Admitted buyers without an order, in % of free units", kind: "number", value: "100", min: 100, max: 1000,
  help: "100 invites nobody in vain; more keeps the sale fast when many do not order.",
};
const SECONDS: Field = { name: "room_order_seconds", label: "Seconds to order, once admitted", kind: "number", value: "120", min: 1, max: 3600 };

const BLIND: Field = {
  name: "blind_ms", label: "Blind window, in milliseconds", kind: "number", value: "3000", min: 1, max: 5000,
  help: "Orders that come so long after the start are recorded, and decided at its end in the order of a draw.",
};

/** The stage of a room by its times: each allows other changes. */
function stage(drop: Drop): "closed" | "gathering" | "serving" {
  const now = serverNow();
  if (!drop.room || now < Date.parse(drop.room.opens_at)) return "closed";
  return now < Date.parse(drop.starts_at) ? "gathering" : "serving";
}

/** The fields of a room. A room is chosen when its drop is created; later some of its members can change. */
export function roomFields(texts: Texts, change: Drop | null): Field[] {
  if (change) {
    if (!change.room || stage(change) === "gathering") return [];
    const opens: Field = { name: "room_opens_at", label: "Waiting room opens", kind: "time", value: "" };
    return stage(change) === "closed" ? [opens, RATE, SECONDS, PERCENT] : [RATE, PERCENT];
  }
  const choice: Field = { name: "room", label: "Waiting room", kind: "select", value: "none", options: DRAWS };
  const draw = texts["room"] ?? "none";
  if (draw === "none") return [choice];
  if (draw === "blind") return [choice, BLIND];
  const opens: Field = { name: "room_opens_at", label: "Waiting room opens", kind: "time", value: "", help: "Before the start; from then on buyers take tickets." };
  const fields = [choice, opens, RATE, SECONDS, PERCENT];
  if (draw !== "random") return fields;
  const beacon: Field = {
    name: "room_beacon", label: "Public randomness for the draw (beacon)", kind: "select", value: "none", options: BEACONS,
    help: "You post it after the start. With it not even you could have chosen the outcome.",
  };
  fields.push(beacon);
  if (texts["room_beacon"] === "required") {
    fields.push({ name: "room_beacon_seconds", label: "Seconds that the draw waits for it", kind: "number", value: "300", min: 1, max: 3600 });
  }
  return fields;
}

/** What stands in the fields of a new drop. */
export function emptyRoom(starts: number): Texts {
  return {
    room: "none", room_opens_at: toLocalField(new Date(starts - OPEN_BEFORE_MS).toISOString()), room_admit_per_second: "50", room_order_seconds: "120",
    room_oversubscribe_percent: "100", room_beacon: "none", room_beacon_seconds: "300", blind_ms: "3000",
  };
}

export function roomTexts(drop: Drop): Texts {
  const room = drop.room;
  const empty = emptyRoom(Date.parse(drop.starts_at));
  if (!room) return drop.blind_ms ? { ...empty, room: "blind", blind_ms: String(drop.blind_ms) } : empty;
  return {
    room: room.draw, room_opens_at: toLocalField(room.opens_at), room_admit_per_second: String(room.admit_per_second),
    room_order_seconds: String(room.order_seconds), room_oversubscribe_percent: String(room.oversubscribe_percent),
    room_beacon: room.beacon ?? "none", room_beacon_seconds: String(room.beacon_seconds ?? 300),
  };
}

/** Takes the members of the room out of the values of a form. Returns the rest, with the room as one member where there is one. */
export function withRoom(values: Record<string, unknown>): Record<string, unknown> {
  const rest = Object.fromEntries(Object.entries(values).filter(([name]) => name !== "room" && !name.startsWith("room_")));
  if (values["room"] === "none" || values["room"] === "blind") return rest;
  const members = Object.entries(values).filter(([name]) => name.startsWith("room_")).map(([name, value]) => [name.slice(5), value]);
  const room: Record<string, unknown> = Object.fromEntries(members);
  if (values["room"] !== undefined) room["draw"] = values["room"];
  return Object.keys(room).length ? { ...rest, room } : rest;
}

/** Returns the mistake in the time at which the room opens. */
export function roomMistake(values: Record<string, unknown>, starts: unknown): string | undefined {
  const opens = values["room_opens_at"];
  if (typeof opens !== "string" || typeof starts !== "string" || values["room"] === "none") return undefined;
  return opens >= starts ? "Before the start." : undefined;
}

/** The names of fields for pointers of the API such as `room/opens_at` and `identity_limits/email`. */
export function fieldNames(mistakes: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(mistakes).map(([name, text]) => [name.replace("identity_limits/", "limit_").replaceAll("/", "_"), text]));
}

/** What buyers will see of the room, as far as it is typed. */
export function roomPreview(texts: Texts, units: number, original: Drop | null): { isThere: boolean; opens: string; rule: string; pace: string; blind: string } {
  const blind = original ? String(original.blind_ms ?? "") : texts["room"] === "blind" ? (texts["blind_ms"] ?? "") : "";
  const draw = original ? (original.room?.draw ?? "none") : (texts["room"] ?? "none");
  const rate = Number(texts["room_admit_per_second"]);
  const isRate = Number.isFinite(rate) && rate > 0;
  return {
    blind: blind ? `${blind} ms, drawn by lot; anybody can check the draw` : "",
    isThere: draw !== "none" && draw !== "blind",
    opens: fromLocalField(texts["room_opens_at"] ?? "") ?? "",
    rule: draw === "random" ? "drawn by lot; anybody can check the draw" : "in the order of arrival",
    pace: isRate && units > 0 ? `${length(Math.ceil(units / rate))} for ${many(units, "buyer")}` : NOTHING,
  };
}

const STATE_WORDS: Record<string, string> = {
  closed: "Tickets are taken once it opens.",
  gathering: "Tickets are taken; nobody is admitted before the start.",
  drawing: "The start has come: the line is being drawn.",
  serving: "Buyers are admitted by their positions.",
  over: "The drop has ended.",
};

const DRAW_STATES: Record<string, string> = {
  pending: "The draw comes at the start. Until then only the commitment to its secret seed is public.",
  fixing: "The tickets of the draw are being fixed.",
  awaiting_beacon: "The tickets are fixed. The draw waits for public randomness: post it.",
  drawing: "The line is being drawn.",
  drawn: "The line is drawn, and its seed is public: anybody can check it.",
  cancelled: "The drop ended before its draw: nothing was drawn, and its seed stays secret.",
};

const WINDOW_STATES: Record<string, string> = {
  pending: "Orders are recorded from the start to the end of the window. Until then only the commitment to the secret seed is public.",
  fixing: "The window has ended: its orders are being fixed.",
  drawing: "The orders are fixed, and are being drawn.",
  drawn: "The orders are decided in the order of the draw, and its seed is public: anybody can check it.",
  cancelled: "The drop ended before its draw: nothing was drawn, and its seed stays secret.",
};

/** The parts of the proof of a draw that are public by now. */
function proofOf(draw: Draw | null, drawn: string) {
  if (!draw) return [];
  const parts: [string, string | undefined][] = [
    ["Commitment", draw.commitment],
    [drawn, draw.tickets && count(draw.tickets.count)],
    [`Root over the ${drawn.toLowerCase()}`, draw.tickets?.root],
    ["Beacon", draw.beacon],
    ["Source of the beacon", draw.beacon_source],
    ["Seed", draw.seed],
    ["Result", draw.result],
  ];
  return parts.flatMap(([name, value]) => (value ? [{ name, value, isHex: /^[0-9a-f]{16,}$/.test(value) }] : []));
}

/** The blind window on the page of its drop. */
export function windowCard(id: string) {
  return {
    draw: null as Draw | null,
    timer: 0,
    init(this: { load(): Promise<void>; timer: number }) {
      void this.load();
      this.timer = window.setInterval(() => void this.load(), 2000);
    },
    destroy(this: { timer: number }) {
      clearInterval(this.timer);
    },
    async load(this: { draw: Draw | null }) {
      if (this.draw?.state === "drawn" || this.draw?.state === "cancelled") return;
      const draw = await ask<Draw>(`/v1/console/drops/${id}/draw`);
      if (draw.kind === "ok") this.draw = draw.body;
    },
    state(this: { draw: Draw | null }, drop: Drop): string {
      const ends = Date.parse(drop.starts_at) + (drop.blind_ms ?? 0);
      if (drop.state === "ended" || this.draw?.state === "drawn") return "over";
      if (serverNow() < Date.parse(drop.starts_at)) return "scheduled";
      return serverNow() < ends ? "recording" : "drawing";
    },
    words(this: { draw: Draw | null }, drop: Drop): string {
      if (drop.state === "paused" && this.draw?.state === "drawn" && drop.standby) return "The drop is paused: nothing is decided, and every order keeps its place.";
      return WINDOW_STATES[this.draw?.state ?? ""] ?? "";
    },
    facts(this: { draw: Draw | null }, drop: Drop) {
      const recorded = drop.standby && this.draw && !this.draw.seed ? [{ name: "Recorded so far", value: count(drop.standby) }] : [];
      return [{ name: "Window", value: `${count(drop.blind_ms ?? 0)} ms from the start` }, ...recorded];
    },
    proof(this: { draw: Draw | null }) {
      return proofOf(this.draw, "Orders");
    },
  };
}

/** The room on the page of its drop. */
export function roomCard(id: string) {
  return {
    room: null as Room | null,
    draw: null as Draw | null,
    timer: 0,
    init(this: { load(): Promise<void>; timer: number }) {
      void this.load();
      this.timer = window.setInterval(() => void this.load(), 2000);
    },
    destroy(this: { timer: number }) {
      clearInterval(this.timer);
    },
    async load(this: { room: Room | null; draw: Draw | null }) {
      const room = await ask<Room>(`/v1/console/drops/${id}/room`);
      if (room.kind === "ok") this.room = room.body;
      if (this.room?.draw !== "random") return;
      const draw = await ask<Draw>(`/v1/console/drops/${id}/draw`);
      if (draw.kind === "ok") this.draw = draw.body;
    },
    tiles(this: { room: Room | null }) {
      const room = this.room;
      if (!room) return [];
      const waiting = Math.max(0, room.tickets - room.serving);
      // The body changes with events: one that is old says that nobody was admitted since.
      const isFresh = serverNow() - Date.parse(room.updated_at) < RATE_FOR_MS;
      const rate = room.rate === undefined ? undefined : isFresh ? room.rate : 0;
      return [
        { label: "Tickets", value: count(room.tickets), note: room.state === "closed" ? "taken once it opens" : "taken so far" },
        { label: "Waiting", value: count(waiting), note: `${count(room.serving)} were admitted` },
        { label: "Within their time to order", value: count(room.admitted), note: `at the last admission, with those who have ordered; ${length(room.order_seconds)} each` },
        { label: "Admitted per second", value: rate === undefined ? NOTHING : figure(rate), note: rate === undefined ? "not serving" : "over the last 30 s" },
      ];
    },
    /** What stands between the line and the units, in words; nothing if all is well. */
    warning(this: { room: Room | null }): string {
      const room = this.room;
      if (!room) return "";
      if (room.paused && room.state !== "over") return "The drop is paused: nobody is admitted, and every position stays.";
      if (room.state === "serving" && room.odds === "none") return "Every unit is sold: nobody else is admitted unless units come back.";
      if (room.state === "serving" && room.available === 0) return "No unit is free: buyers are admitted once units come back.";
      return "";
    },
    words(this: { room: Room | null }): string {
      return STATE_WORDS[this.room?.state ?? ""] ?? "";
    },
    share(this: { room: Room | null }): { transform: string } {
      const room = this.room;
      return { transform: `scaleX(${room && room.tickets > 0 ? Math.min(1, room.serving / room.tickets) : 0})` };
    },
    rules(drop: Drop) {
      const rule = drop.room;
      if (!rule) return [];
      const beacon = rule.beacon === "required" ? ` with a beacon within ${length(rule.beacon_seconds ?? 300)}` : "";
      return [
        { name: "Line", value: rule.draw === "random" ? `drawn by lot${beacon}` : "in the order of arrival" },
        { name: "Admits", value: `at most ${many(rule.admit_per_second, "buyer")} per second` },
        { name: "Time to order", value: length(rule.order_seconds) },
        { name: "Admitted at once", value: `at most ${rule.oversubscribe_percent} % of free units` },
      ];
    },
    drawWords(this: { draw: Draw | null }): string {
      return DRAW_STATES[this.draw?.state ?? ""] ?? "";
    },
    proof(this: { draw: Draw | null }) {
      return proofOf(this.draw, "Tickets");
    },
    mayPost(this: { draw: Draw | null }): boolean {
      return this.draw?.state === "awaiting_beacon";
    },
  };
}
