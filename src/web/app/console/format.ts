// Figures, amounts and times as the console shows them.
import { count, instant, minorDigits, money } from "../shared/words";
import { serverNow } from "../shared/api";

const rough = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

export const NOTHING = "–";

/** A rate or another figure: whole from 10 on, with one digit below. */
export function figure(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return NOTHING;
  return value > 0 && value < 10 ? rough.format(value) : count(Math.round(value));
}

export function millis(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return NOTHING;
  if (value >= 10_000) return `${figure(value / 1000)} s`;
  return value < 1 ? `${rough.format(value * 1000)} µs` : `${figure(value)} ms`;
}

export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit > 1 ? rough.format(value) : Math.round(value)} ${units[unit]}`;
}

export function price(amount: number, currency: string): string {
  try {
    return money(amount, currency, minorDigits(currency));
  } catch {
    return `${amount} ${currency}`;
  }
}

/** Returns the minor units of a typed amount such as `1,149.00`, or nothing for what is none: it is refused, never guessed. */
export function readMoney(typed: string, currency: string): number | undefined {
  const digits = minorDigits(currency);
  const found = /^(\d{1,13}|\d{1,3}(?:,\d{3})+)(?:\.(\d+))?$/.exec(typed.trim());
  const fraction = found?.[2] ?? "";
  if (!found?.[1] || fraction.length > digits) return undefined;
  const amount = Number(found[1].replaceAll(",", "") + fraction.padEnd(digits, "0"));
  return Number.isSafeInteger(amount) ? amount : undefined;
}

/** Returns a typed whole number, in groups of three or without, or nothing for what is none. */
export function readWhole(typed: string): number | undefined {
  if (!/^-?(\d+|\d{1,3}([,\s]\d{3})+)$/.test(typed.trim())) return undefined;
  const number = Number(typed.replaceAll(/[\s,]/g, ""));
  return Number.isSafeInteger(number) ? number : undefined;
}

/** A number with its noun: `1 order`, `2 orders`. */
export function many(number: number, noun: string): string {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/** An amount as it is typed into a field: `149.00`. */
export function typedMoney(amount: number, currency: string): string {
  const digits = minorDigits(currency);
  const text = String(amount).padStart(digits + 1, "0");
  return digits ? `${text.slice(0, -digits)}.${text.slice(-digits)}` : text;
}

/** A time of day for what happened today, else day and time. */
export function at(iso: string | undefined): string {
  if (!iso) return NOTHING;
  const isToday = new Date(iso).toDateString() === new Date(serverNow()).toDateString();
  if (isToday) return clock.format(new Date(iso));
  const isThisYear = new Date(iso).getFullYear() === new Date(serverNow()).getFullYear();
  return instant(iso, { timeZoneName: undefined, ...(isThisYear ? { year: undefined } : {}) });
}

export function utc(iso: string | undefined): string {
  return iso ? `${iso.replace("T", " ").replace(/\.\d+Z$/, "")} UTC` : "";
}

/** How far an instant is from now: `in 27 min`, `3 h ago`. */
export function distance(iso: string | undefined, now: number): string {
  if (!iso) return NOTHING;
  const ms = Date.parse(iso) - now;
  const seconds = Math.abs(ms) / 1000;
  const [value, unit] =
    seconds < 100 ? [seconds, "s"] : seconds < 5400 ? [seconds / 60, "min"] : seconds < 172_800 ? [seconds / 3600, "h"] : [seconds / 86_400, "days"];
  const text = `${Math.round(value)} ${unit}`;
  return ms >= 0 ? `in ${text}` : `${text} ago`;
}

/** A number of seconds as people say it: `15 min`. */
export function length(seconds: number): string {
  if (seconds % 86_400 === 0) return `${seconds / 86_400} d`;
  if (seconds % 3600 === 0) return `${seconds / 3600} h`;
  return seconds % 60 === 0 && seconds >= 120 ? `${seconds / 60} min` : `${seconds} s`;
}

/** The words of a state or a kind: `awaiting_payment` is `awaiting payment`. */
export function spoken(word: string): string {
  return word.replaceAll("_", " ");
}

/** An instant in the form of a field for local time, and back. */
export function toLocalField(iso: string | undefined): string {
  if (!iso) return "";
  const date = new Date(iso);
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 19);
}

export function fromLocalField(text: string): string | undefined {
  const date = new Date(text);
  return text && !Number.isNaN(date.getTime()) ? date.toISOString() : undefined;
}
