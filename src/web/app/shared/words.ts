// Texts of a language, numbers, money and times. The texts are those that the server renders with (../texts).

declare global {
  var firstcomeTexts: Record<string, string> | undefined;
}

/** Returns a language's tag if it is one that the browser takes; a page of a shop may have another word there. */
function usable(tag: string): string {
  try {
    return Intl.getCanonicalLocales(tag)[0] ?? "en";
  } catch {
    return "en";
  }
}

/** Returns the functions that write for a reader of a language. */
export function wordsOf(tag: string, texts: () => Readonly<Record<string, string>>) {
  const language = usable(tag);
  const plural = new Intl.PluralRules(language);
  const whole = new Intl.NumberFormat(language);

  /** Returns a text with its placeholders filled. With a number `n`, its form for that number if there is one. */
  function t(key: string, values: Record<string, string | number> = {}): string {
    const n = values["n"];
    const counted = typeof n === "number" ? texts()[`${key}.${plural.select(n)}`] : undefined;
    const text = counted ?? texts()[key] ?? key;
    return text.replace(/\{(\w+)\}/g, (all, name: string) => {
      const value = values[name];
      return typeof value === "number" ? whole.format(value) : (value ?? all);
    });
  }

  function hasText(key: string): boolean {
    return texts()[key] !== undefined;
  }

  function count(n: number): string {
    return whole.format(n);
  }

  /** Returns an amount of minor units, such as `149,00 €`. The text is exact: no amount becomes a binary fraction. `digits` are
   *  those of ISO 4217, as the server knows them: a browser's own differ for some currencies. */
  function money(amount: number, currency: string, digits: number): string {
    const text = String(Math.abs(amount)).padStart(digits + 1, "0");
    const major = text.slice(0, text.length - digits);
    const exact = (amount < 0 ? "-" : "") + (digits > 0 ? `${major}.${text.slice(-digits)}` : major);
    const format = new Intl.NumberFormat(language, {
      style: "currency", currency, minimumFractionDigits: digits, maximumFractionDigits: digits,
    });
    return (format.format as (value: string) => string)(exact);
  }

  /** Returns an amount as a person types it: without the currency and groups. */
  function plainMoney(amount: number, digits: number): string {
    const format = new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: false });
    return format.format(amount / 10 ** digits);
  }

  /** Returns minutes and seconds such as `1:25`, with hours and days where there are some. */
  function duration(ms: number): string {
    const seconds = Math.max(0, Math.ceil(ms / 1000));
    const [days, hours, minutes] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
    const two = (n: number) => String(n).padStart(2, "0");
    const clock = days + hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
    return days > 0 ? t("time.days", { n: days, clock }) : clock;
  }

  /** Returns an instant on this machine's wall, with the zone. */
  function instant(text: string | number, options: Intl.DateTimeFormatOptions = {}): string {
    const format = new Intl.DateTimeFormat(language, {
      year: "numeric", month: "short", day: "numeric", hour: "numeric", minute: "2-digit", timeZoneName: "short", ...options,
    });
    return format.format(new Date(text));
  }

  return { t, hasText, count, money, plainMoney, duration, instant };
}

export type Words = ReturnType<typeof wordsOf>;

/** The words of the page's language. */
export const { t, hasText, count, money, plainMoney, duration, instant } = wordsOf(
  document.documentElement.lang || "en",
  () => globalThis.firstcomeTexts ?? {},
);

/** Returns the minor units of an amount that a person typed, or nothing for what is no amount of this currency. The last point
 *  or comma is that of the fraction if no more digits follow than the currency has; any other one separates groups. One sign
 *  before three digits is refused where the currency has fewer digits, but some: `151.005` may be a slip. */
export function parseMoney(typed: string, digits: number): number | undefined {
  const text = typed.replace(/[\s\u00a0\u202f'’]/g, "");
  const found = /^(\d{1,3}(?:,\d{3})+|\d{1,3}(?:\.\d{3})+|\d{1,13})(?:([.,])(\d*))?$/.exec(text);
  if (!found?.[1]) return undefined;
  let [whole, fraction] = [found[1], found[3] ?? ""];
  const groups = whole.split(/[.,]/);
  if (found[2] === undefined && groups.length > 1) {
    if (digits >= 3 && groups.length === 2) [whole, fraction] = [groups[0] ?? "", groups[1] ?? ""];
    else if (digits > 0 && (digits >= 3 || groups.length === 2)) return undefined;
  } else if (found[2] !== undefined && (fraction.length > digits || whole.includes(found[2]))) {
    return undefined;
  }
  const amount = Number(whole.replace(/[.,]/g, "") + fraction.padEnd(digits, "0"));
  return Number.isSafeInteger(amount) ? amount : undefined;
}

/** Shows every amount of a part of the page as the reader's language does. */
export function localizeAmounts(root: ParentNode): void {
  for (const element of root.querySelectorAll<HTMLElement>("[data-amount]")) {
    const { amount, currency, digits } = element.dataset;
    element.textContent = money(Number(amount), currency ?? "EUR", Number(digits));
  }
  for (const element of root.querySelectorAll<HTMLElement>("[data-count]")) {
    element.textContent = count(Number(element.dataset["count"]));
  }
}

/** Shows every `<time datetime>` of a part of the page in local time. */
export function localizeTimes(root: ParentNode): void {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const text = element.getAttribute("datetime") ?? "";
    if (!Number.isNaN(Date.parse(text))) element.textContent = instant(text);
  }
}

/** Currencies whose minor unit has not two digits, by ISO 4217. The browser's own digits are those of cash: none for HUF. */
const DIGITS: readonly [number, string][] = [
  [0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"],
  [3, "BHD IQD JOD KWD LYD OMR TND"],
  [4, "CLF UYW"],
];

/** Returns the digits behind the point of a currency's amounts, where no page tells them. They are the server's
 *  (`types::money`, a test). */
export function minorDigits(currency: string): number {
  return DIGITS.find(([, currencies]) => currencies.split(" ").includes(currency))?.[0] ?? 2;
}
