// The component's look. A shop changes it by custom properties and by `::part()` (src/web/README.md).

const CSS = `
:host {
  --accent: var(--firstcome-accent, #1f5eff);
  --accent-ink: var(--firstcome-accent-ink, #fff);
  --soft: color-mix(in srgb, currentColor 72%, transparent);
  --line: color-mix(in srgb, currentColor 16%, transparent);
  --edge: color-mix(in srgb, currentColor 52%, transparent);
  --radius: var(--firstcome-radius, 12px);
  --good: #12915a; --warn: #b87200; --bad: #d0392f;
  display: block; max-width: 440px; font: inherit; color: inherit; line-height: 1.5; text-align: start;
}
:host([hidden]), [hidden] { display: none !important; }
*, ::before { box-sizing: border-box; }
p, dl, dd { margin: 0; }
.root, form, .view { display: grid; gap: 16px; }
.row { display: flex; justify-content: space-between; align-items: center; gap: 8px 16px; flex-wrap: wrap; }
.start { justify-content: flex-start; }
.tight { display: grid; gap: 8px; }
.num { font-variant-numeric: tabular-nums; }
.soft { color: var(--soft); }
.small { font-size: .875em; }
.chip { display: inline-flex; align-items: center; gap: 8px; padding: 6px 12px; border: 1px solid var(--line); border-radius: 99px; font-size: .8125em; font-weight: 600; line-height: 1.25; }
.chip::before { content: ""; width: 8px; height: 8px; border-radius: 50%; background: var(--edge); }
.chip.good::before { background: var(--good); }
.chip.warn::before { background: var(--warn); }
.chip.bad::before { background: var(--bad); }
.chip.accent::before { background: var(--accent); }
.title { font-size: 1.25em; line-height: 1.3; font-weight: 700; overflow-wrap: anywhere; }
.title:focus { outline: none; }
.price { font-size: 1.5em; font-weight: 700; line-height: 1.25; overflow-wrap: anywhere; }
.price span { font-size: .6em; font-weight: 400; }
.timer { font-size: 3em; line-height: 1; font-weight: 700; letter-spacing: -.02em; }
.bar { height: 8px; border-radius: 8px; background: var(--line); overflow: hidden; }
.bar span { display: block; height: 100%; border-radius: 8px; background: var(--accent); transform-origin: 0 0; }
.note { display: grid; gap: 8px; padding: 12px 16px; border-inline-start: 3px solid var(--accent); border-radius: 8px; background: color-mix(in srgb, currentColor 6%, transparent); overflow-wrap: anywhere; }
.note.good { border-color: var(--good); }
.note.warn { border-color: var(--warn); }
.note.bad { border-color: var(--bad); }
/* Without words it takes no room: the gap before it goes, too. */
.note.bare { padding: 0; border: 0; margin-top: -16px; background: none; }
.buy { display: flex; gap: 12px; flex-wrap: wrap; }
.buy .button { flex: 1 1 180px; }
.stepper { display: flex; border: 1px solid var(--edge); border-radius: var(--radius); overflow: hidden; }
.stepper button, .stepper input { width: 48px; min-height: 54px; padding: 0; border: 0; background: none; color: inherit; font: inherit; text-align: center; font-variant-numeric: tabular-nums; }
.stepper button { font-size: 1.25em; cursor: pointer; }
.stepper button[aria-disabled="true"] { color: var(--soft); cursor: not-allowed; }
.stepper input { appearance: textfield; font-weight: 600; border-radius: 0; }
.stepper input::-webkit-inner-spin-button { appearance: none; }
.stepper :focus-visible { outline-offset: -3px; }
.button { appearance: none; display: inline-flex; justify-content: center; align-items: center; min-height: 48px; padding: 12px 20px; border: 1px solid transparent; border-radius: var(--radius); background: var(--accent); color: var(--accent-ink); font: inherit; font-weight: 600; line-height: 1.25; text-align: center; text-decoration: none; cursor: pointer; }
.button:hover { filter: brightness(1.08); }
.button.main { min-height: 56px; }
.button.ghost { background: none; color: inherit; border-color: var(--edge); }
.button[aria-disabled="true"] { background: var(--line); color: var(--soft); filter: none; cursor: not-allowed; }
.field { display: grid; gap: 4px; font-size: .875em; font-weight: 600; }
.field .soft { font-weight: 400; }
.field input, .field textarea { font: inherit; font-size: max(16px, 1em); font-weight: 400; min-height: 48px; padding: 10px 14px; width: 100%; border: 1px solid var(--edge); border-radius: var(--radius); background: none; color: inherit; resize: vertical; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 4px 16px; }
dt { color: var(--soft); }
dd { font-weight: 600; overflow-wrap: anywhere; }
.bar span { transition: transform .3s ease-out; }
:host(:dir(rtl)) .bar span { transform-origin: 100% 0; }
@media (prefers-reduced-motion: reduce) { .bar span { transition: none; } }
@media (forced-colors: active) { .bar span { background: Highlight; } .chip::before { forced-color-adjust: none; } .bar { border: 1px solid; } }
`;

/** A constructed sheet: a page whose policy forbids inline styles takes it. */
export function styleSheet(): CSSStyleSheet {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(CSS);
  return sheet;
}
