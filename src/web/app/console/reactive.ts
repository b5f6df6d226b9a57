import Alpine from "@alpinejs/csp";

/** Returns an object whose changes the page follows. */
export const reactive = (Alpine as unknown as { reactive<T extends object>(value: T): T }).reactive;
