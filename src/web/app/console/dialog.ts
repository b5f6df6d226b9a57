// One dialog for every step that changes something: it says what will happen, asks for the reason and, before a dangerous step,
// for a name. Its key is made when it opens, so that a double click or a lost answer never does anything twice.
import { reactive } from "./reactive";
import type { Answer } from "../shared/api";
import { fromLocalField, readMoney, readWhole } from "./format";
import { wordsFor, type Words } from "./problems";

export interface Field {
  name: string;
  label: string;
  kind: "text" | "number" | "money" | "time" | "select" | "area" | "check";
  value: string;
  help?: string;
  isOptional?: boolean;
  options?: { value: string; label: string }[];
  currency?: string;
  min?: number;
  max?: number;
}

export type Values = Record<string, string | number | boolean | undefined>;

export interface Action {
  title: string;
  /** What will happen, a sentence each. */
  lines: string[];
  confirm: string;
  isDangerous?: boolean;
  /** The name that must be typed, word for word. */
  typed?: string;
  fields?: Field[];
  /** Without a reason in the request. */
  hasNoReason?: boolean;
  run(values: Values, key: string): Promise<Answer<unknown>>;
  /** Returns what was done, in words. */
  done(body: unknown): string;
}

export const dialog = reactive({
  action: null as Action | null,
  fields: [] as Field[],
  texts: {} as Record<string, string>,
  typed: "",
  mistakes: {} as Record<string, string>,
  problem: null as Words | null,
  isBusy: false,
  key: "",
});

/** What was done last, for the line at the bottom of the page. */
export const said = reactive({ text: "", number: 0 });

export function say(text: string): void {
  said.text = text;
  said.number += 1;
  const number = said.number;
  setTimeout(() => {
    if (said.number === number) said.text = "";
  }, 8000);
}

/** A dangerous step whose request takes no reason says so. */
const NO_REASON = "The log has who does it; no reason is kept.";

export function act(wanted: Action): void {
  const action = wanted.hasNoReason && wanted.isDangerous ? { ...wanted, lines: [...wanted.lines, NO_REASON] } : wanted;
  const reason: Field = { name: "reason", label: "Reason, for the audit", kind: "text", value: "" };
  dialog.fields = [...(action.fields ?? []), ...(action.hasNoReason ? [] : [reason])];
  dialog.texts = Object.fromEntries(dialog.fields.map((field) => [field.name, field.value]));
  dialog.mistakes = {};
  dialog.problem = null;
  dialog.typed = "";
  dialog.isBusy = false;
  dialog.key = crypto.randomUUID();
  dialog.action = action;
}

export function close(): void {
  if (!dialog.isBusy) dialog.action = null;
}

/** Reads a field. Returns its value, or the mistake in it. */
export function read(field: Field, text: string): { value?: string | number | boolean; mistake?: string } {
  const typed = text.trim();
  if (field.kind === "check") return { value: text === "true" };
  if (!typed) return field.isOptional ? {} : { mistake: "This is needed." };
  switch (field.kind) {
    case "number": {
      const number = readWhole(typed);
      if (number === undefined) return { mistake: "A whole number." };
      if (field.min !== undefined && number < field.min) return { mistake: `At least ${field.min}.` };
      if (field.max !== undefined && number > field.max) return { mistake: `At most ${field.max}.` };
      return { value: number };
    }
    case "money": {
      const amount = readMoney(typed, field.currency ?? "EUR");
      return amount === undefined ? { mistake: `An amount in ${field.currency}, such as 149.00.` } : { value: amount };
    }
    case "time": {
      const iso = fromLocalField(typed);
      return iso ? { value: iso } : { mistake: "A date and a time." };
    }
    case "text":
    case "area":
    case "select":
      return { value: typed };
  }
}

/** Reads all fields. */
export function readAll(fields: Field[], texts: Record<string, string>): { values: Values; mistakes: Record<string, string> } {
  const values: Values = {};
  const mistakes: Record<string, string> = {};
  for (const field of fields) {
    const { value, mistake } = read(field, texts[field.name] ?? "");
    if (mistake) mistakes[field.name] = mistake;
    else if (value !== undefined) values[field.name] = value;
  }
  return { values, mistakes };
}

export async function confirm(): Promise<void> {
  const action = dialog.action;
  if (!action || dialog.isBusy) return;
  const { values, mistakes } = readAll(dialog.fields, dialog.texts);
  if (action.typed && dialog.typed.trim() !== action.typed.trim()) mistakes["typed"] = "Type the name as it stands above.";
  dialog.mistakes = mistakes;
  const first = Object.keys(mistakes)[0];
  if (first) {
    document.getElementById(`act-${first}`)?.focus();
    return;
  }
  dialog.isBusy = true;
  dialog.problem = null;
  const answer = await action.run(values, dialog.key);
  dialog.isBusy = false;
  const problem = wordsFor(answer);
  if (problem) {
    dialog.problem = problem;
    dialog.mistakes = problem.fields;
    // A button that is disabled loses the focus.
    setTimeout(() => document.getElementById("act-title")?.closest("form")?.querySelector<HTMLElement>("button:not([type=button])")?.focus());
    return;
  }
  dialog.action = null;
  say(action.done(answer.kind === "ok" ? answer.body : null));
  document.dispatchEvent(new CustomEvent("firstcome:changed"));
}
