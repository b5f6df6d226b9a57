// The tier of a buyer: what the door takes, why, and an operator's own choice.
import { act } from "./dialog";
import { wordsFor, type Words } from "./problems";
import { go } from "./routes";
import { ask, may } from "./session";
import type { BuyerTier } from "./shapes";

const TIERS = [
  { value: "suspected", label: "suspected: limited the most" },
  { value: "new", label: "new: the default" },
  { value: "verified", label: "verified: a known buyer" },
  { value: "premium", label: "premium: limited the least" },
];

const path = (buyer: string) => `/v1/buyers/${encodeURIComponent(buyer)}/tier`;

export function buyersPage(name: string) {
  return {
    text: name,
    found: null as BuyerTier | null,
    problem: null as Words | null,
    isBusy: false,
    changed: () => {},
    init(this: { load(): Promise<void>; changed: () => void }) {
      if (!may("operator")) return;
      if (name) void this.load();
      this.changed = () => void this.load();
      document.addEventListener("firstcome:changed", this.changed);
    },
    destroy(this: { changed: () => void }) {
      document.removeEventListener("firstcome:changed", this.changed);
    },
    search(this: { text: string; load(): Promise<void> }) {
      const wanted = this.text.trim();
      if (wanted === name) void this.load();
      else if (wanted) go(`buyers/${encodeURIComponent(wanted)}`);
    },
    async load(this: { found: BuyerTier | null; problem: Words | null; isBusy: boolean }) {
      if (!name) return;
      this.isBusy = true;
      const answer = await ask<BuyerTier>(path(name));
      this.isBusy = false;
      this.problem = wordsFor(answer);
      if (answer.kind === "ok") this.found = answer.body;
    },
    sourceWords(this: { found: BuyerTier | null }): string {
      const words = { operator: "an operator set it", risk: "the risk score is too high", default: "nothing is known against them" };
      return this.found ? words[this.found.source] : "";
    },
    set(this: { found: BuyerTier | null }) {
      act({
        title: `Tier of ${name}`,
        lines: ["It wins over the risk score and over the claim of a token, and is in force at once."],
        confirm: "Set the tier",
        fields: [
          { name: "tier", label: "Tier", kind: "select", value: this.found?.tier ?? "new", options: TIERS },
          { name: "expires_at", label: "Ends", kind: "time", value: "", isOptional: true, help: "Without an end it stays until it is removed." },
        ],
        run: (values) => ask(path(name), { method: "PUT", body: values }),
        done: () => `${name} has another tier.`,
      });
    },
    remove() {
      act({
        title: `Remove the tier of ${name}`,
        lines: ["The risk score and the claim of a token decide again."],
        confirm: "Remove the tier",
        isDangerous: true,
        hasNoReason: true,
        run: () => ask(path(name), { method: "DELETE" }),
        done: () => `${name} has no tier of an operator.`,
      });
    },
  };
}
