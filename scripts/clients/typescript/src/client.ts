import createClient, { type Client } from "openapi-fetch";

import { errorOf } from "./problem.ts";
import { type RetryOptions, retryingFetch } from "./retry.ts";
import type { components, paths } from "./schema.ts";
import { type StreamEvent, follow } from "./stream.ts";

type Schemas = components["schemas"];
export type Drop = Schemas["Drop"];
export type Order = Schemas["Order"];
export type Auction = Schemas["Auction"];
export type Bid = Schemas["Bid"];

export interface FirstcomeOptions {
  /** The listener: the public one for buyers, the admin one for operators. */
  baseUrl: string;
  /** A buyer's or an operator's token. */
  token?: string;
  retry?: RetryOptions;
  fetch?: typeof fetch;
}

/** A call that makes something: the key makes a repeat of it find what the first one made. */
export interface KeyOptions {
  /** By default random. Give one that you keep, if the call may be made again after a crash of your program. */
  idempotencyKey?: string;
  /** The solution of a challenge, for drops that demand one. */
  challenge?: string;
}

function keyed(options: KeyOptions = {}) {
  const { idempotencyKey = crypto.randomUUID(), challenge } = options;
  return { "Idempotency-Key": idempotencyKey, ...(challenge === undefined ? {} : { "Firstcome-Challenge": challenge }) };
}

async function unwrap<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await call;
  if (response.ok && data !== undefined) return data;
  throw errorOf(response, error);
}

/** What both listeners share. `api` has every operation of the OpenAPI document; the methods are the usual ones. */
class Listener {
  readonly api: Client<paths>;
  readonly #open: (path: string, signal: AbortSignal) => Promise<Response>;

  constructor({ baseUrl, token, retry, fetch: send = fetch }: FirstcomeOptions) {
    const headers: Record<string, string> = token === undefined ? {} : { Authorization: `Bearer ${token}` };
    this.api = createClient<paths>({ baseUrl, headers, fetch: retryingFetch(retry, send) });
    // A stream has no end, so it has no time limit of an attempt.
    this.#open = (path, signal) => send(`${baseUrl.replace(/\/$/, "")}${path}`, { headers, signal });
  }

  protected follow<T>(path: string, signal: AbortSignal): AsyncGenerator<StreamEvent<T>, void, undefined> {
    return follow<T>((connection) => this.#open(path, connection), signal);
  }
}

/** What buyers do, on the public listener. */
export class Firstcome extends Listener {
  drop(drop_id: number): Promise<Drop> {
    return unwrap(this.api.GET("/v1/drops/{drop_id}", { params: { path: { drop_id } } }));
  }

  /** Reserves units. A refusal, such as `sold-out`, is a `ProblemError`. */
  placeOrder(drop_id: number, body: Omit<Schemas["NewOrder"], "standby">, options?: KeyOptions): Promise<Order> {
    const params = { path: { drop_id }, header: keyed(options) };
    // Only an order with `standby` is answered with a place in the line.
    return unwrap(this.api.POST("/v1/drops/{drop_id}/orders", { params, body })) as Promise<Order>;
  }

  order(order_id: string): Promise<Order> {
    return unwrap(this.api.GET("/v1/orders/{order_id}", { params: { path: { order_id } } }));
  }

  /** Gives the contact of a reserved order, which awaits payment then. Repeated, it has no further effect. */
  checkOut(order_id: string, contact: Schemas["Contact"]): Promise<Order> {
    return unwrap(this.api.POST("/v1/orders/{order_id}/checkout", { params: { path: { order_id } }, body: { contact } }));
  }

  cancelOrder(order_id: string): Promise<Order> {
    return unwrap(this.api.POST("/v1/orders/{order_id}/cancel", { params: { path: { order_id } } }));
  }

  auction(auction_id: number): Promise<Auction> {
    return unwrap(this.api.GET("/v1/auctions/{auction_id}", { params: { path: { auction_id } } }));
  }

  placeBid(auction_id: number, body: Schemas["NewBid"], options?: KeyOptions): Promise<Bid> {
    const params = { path: { auction_id }, header: keyed(options) };
    return unwrap(this.api.POST("/v1/auctions/{auction_id}/bids", { params, body }));
  }

  /** Yields the drop's state, and again on each change, until the signal is aborted. */
  followDrop(drop_id: number, signal: AbortSignal): AsyncGenerator<StreamEvent<Drop>, void, undefined> {
    return this.follow(`/v1/drops/${drop_id}/stream`, signal);
  }

  followAuction(auction_id: number, signal: AbortSignal): AsyncGenerator<StreamEvent<Auction>, void, undefined> {
    return this.follow(`/v1/auctions/${auction_id}/stream`, signal);
  }
}

/** What operators do, on the admin listener. */
export class FirstcomeAdmin extends Listener {
  createDrop(body: Schemas["NewDrop"], options?: KeyOptions): Promise<Drop> {
    return unwrap(this.api.POST("/v1/drops", { params: { header: keyed(options) }, body }));
  }

  createAuction(body: Schemas["NewAuction"], options?: KeyOptions): Promise<Auction> {
    return unwrap(this.api.POST("/v1/auctions", { params: { header: keyed(options) }, body }));
  }

  /** Records a payment that was received by hand. Repeated with its reference, it has no further effect. */
  recordPayment(order_id: string, body: Schemas["Payment"]): Promise<Order> {
    return unwrap(this.api.POST("/v1/orders/{order_id}/payments", { params: { path: { order_id } }, body }));
  }

  refund(order_id: string, body: Schemas["Refund"], options?: KeyOptions): Promise<Order> {
    const params = { path: { order_id }, header: keyed(options) };
    return unwrap(this.api.POST("/v1/orders/{order_id}/refund", { params, body }));
  }

  /** Creates an endpoint; only this answer has its secret. */
  createEndpoint(body: Schemas["NewWebhookEndpoint"], options?: KeyOptions): Promise<Schemas["WebhookEndpoint"]> {
    return unwrap(this.api.POST("/v1/webhook-endpoints", { params: { header: keyed(options) }, body }));
  }

  /** Yields all orders of a drop, page by page. */
  async *orders(drop_id: number): AsyncGenerator<Order, void, undefined> {
    let after: Schemas["OrderPage"]["next_after"];
    do {
      const query = { drop_id, ...(after === undefined ? {} : { after }) };
      const page = (await unwrap(this.api.GET("/v1/orders", { params: { query } }))) as Schemas["OrderPage"];
      yield* page.data;
      after = page.next_after;
    } while (after !== undefined);
  }
}
