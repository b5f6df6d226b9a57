export { Firstcome, FirstcomeAdmin } from "./client.ts";
export type { Auction, Bid, Drop, FirstcomeOptions, KeyOptions, Order } from "./client.ts";
export { ProblemError, UnexpectedResponseError } from "./problem.ts";
export type { Problem, ProblemCode } from "./problem.ts";
export type { RetryOptions } from "./retry.ts";
export type { components, operations, paths } from "./schema.ts";
export type { StreamEvent } from "./stream.ts";
export { WebhookVerificationError, verifyWebhook } from "./webhooks.ts";
export type { WebhookEvent } from "./webhooks.ts";
