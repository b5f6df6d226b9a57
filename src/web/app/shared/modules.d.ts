declare module "@alpinejs/csp" {
  interface Alpine {
    data(name: string, make: (...parameters: never[]) => object): void;
    start(): void;
    nextTick(callback?: () => void): Promise<void>;
  }
  const alpine: Alpine;
  export default alpine;
}

/** Paths of other entries, put in by build.mjs. */
declare const ASSET_SOLVER_JS: string;

/** The component's texts by language, put in by build.mjs. */
declare module "component-texts" {
  const texts: Record<string, Record<string, string>>;
  export default texts;
}
