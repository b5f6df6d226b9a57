import { Webhook } from "standardwebhooks";

import type { components } from "./schema.ts";

type Schemas = components["schemas"];
type EventSchemas = { [Name in keyof Schemas as Name extends `${string}Webhook` ? Name : never]: Schemas[Name] };

/** A message of the outbox. `type` tells which. */
export type WebhookEvent = EventSchemas[keyof EventSchemas];

/**
 * Checks a webhook's signature and age, and returns its message. Drop a `webhook-id` that you have seen: a message may come
 * more than once.
 *
 * @param secret the endpoint's secret, `whsec_…`
 * @param body the body as it was received, before any parsing
 * @param headers the request's headers
 * @throws WebhookVerificationError if it is not the server's, or older than five minutes
 */
export function verifyWebhook(
  secret: string,
  body: string | Uint8Array,
  headers: Headers | Record<string, string | string[] | undefined>,
): WebhookEvent {
  const get = (name: string) => {
    const value = headers instanceof Headers ? headers.get(name) : headers[name];
    return typeof value === "string" ? value : "";
  };
  const names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
  const text = typeof body === "string" ? body : new TextDecoder().decode(body);
  return new Webhook(secret).verify(text, Object.fromEntries(names.map((name) => [name, get(name)]))) as WebhookEvent;
}

export { WebhookVerificationError } from "standardwebhooks";
