// What the tests of the web component share: pages of a shop of another origin, with a strict content security policy, that embed it.
// HOST_PORT is the port of the origin in `public.cors_origins`; with TOKEN_KEY the server's buyers have tokens.
import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import { Shop } from "./shop.mjs";

const { PUBLIC, ADMIN, HOST_PORT, TOKEN_KEY } = process.env;
export const shop = new Shop(PUBLIC, ADMIN);
export const api = shop.url;
export const host = `http://127.0.0.1:${HOST_PORT}`;
/// Width, height and colours. The element is at most 440 pixels wide: between a phone and a desktop nothing changes.
export const LOOKS = { phone: [390, 844, "light"], "dark-phone": [390, 844, "dark"], desktop: [1280, 900, "light"] };

/// The page's own script: it hears the component's events, and signs in where the address says so.
const HOST_SCRIPT = `
globalThis.heard = [];
for (const name of ["firstcome-order", "firstcome-sign-in", "firstcome-checkout"]) {
  document.addEventListener(name, (event) => {
    heard.push([name, event.detail.order?.state ?? event.detail.isRenewal ?? null]);
    if (name === "firstcome-checkout" && document.body.dataset.ownCheckout) event.preventDefault();
  });
}`;

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");

/// Serves the pages of a shop. The query has the element's attributes; `policy=closed` forbids connections to the server.
function pages(request, response) {
  const { pathname, searchParams } = new URL(request.url, host);
  if (pathname === "/host.js") return response.writeHead(200, { "Content-Type": "text/javascript" }).end(HOST_SCRIPT);
  if (pathname !== "/") return response.writeHead(404).end();
  const attributes = new Map([["api", api], ...searchParams]);
  const connect = attributes.get("policy") === "closed" ? "'none'" : api;
  const policy = `default-src 'none'; script-src 'self' ${api}; connect-src ${connect}; style-src 'self'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'`;
  const [language, dark] = [attributes.get("page-lang") ?? "en", attributes.has("dark")];
  for (const name of ["policy", "page-lang", "dark"]) attributes.delete(name);
  const element = [...attributes].map(([name, value]) => `${name}="${escaped(value)}"`).join(" ");
  response.writeHead(200, { "Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy });
  response.end(`<!doctype html><html lang="${escaped(language)}"><head><meta charset="utf-8"><title>A shop</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="${dark ? "dark" : "light"}">
<link rel="icon" href="data:,"><script src="/host.js"></script>
<script type="module" src="${api}/assets/firstcome-drop.js"></script></head>
<body><main><h1>North Pier</h1><firstcome-drop ${element}></firstcome-drop></main></body></html>`);
}

/// Listens at the shop's origin and at one that is not allowed; returns the latter.
export async function listen() {
  const servers = [Number(HOST_PORT), 0].map((port) => createServer(pages).listen(port, "127.0.0.1"));
  await Promise.all(servers.map((one) => one.listening || new Promise((resolve) => one.once("listening", resolve))));
  return `http://127.0.0.1:${servers[1].address().port}`;
}

/// Opens a page of the shop with the component for a drop.
export async function open(page, drop, attributes = {}, origin = host) {
  await page.goto(`${origin}/?${new URLSearchParams({ "drop-id": drop, ...attributes })}`);
}

/// Signs a token as the shop's sign-in does.
export function token(buyer, seconds = 600) {
  const encode = (part) => Buffer.from(part).toString("base64url");
  const signed = `${encode('{"alg":"HS256"}')}.${encode(JSON.stringify({ sub: buyer, aud: "shop", exp: Math.floor(Date.now() / 1000) + seconds }))}`;
  return `${signed}.${createHmac("sha256", TOKEN_KEY).update(signed).digest("base64url")}`;
}

export const heard = (page) => page.evaluate(() => globalThis.heard);
