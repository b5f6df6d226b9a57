// The type of this project's dashboards, from Grafana's types of a dashboard and of the two kinds of panels in use.
import type { DataQuery, Dashboard, DataSourceRef, FieldConfig, Panel } from "@grafana/schema";
import type { RowPanel } from "@grafana/schema/dist/esm/raw/dashboard/x/dashboard_types.gen";
import type { Options as StatOptions } from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type {
  FieldConfig as LineConfig,
  Options as LineOptions,
} from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

// In JSON an enum is its text, or its number.
type Json<T> = T extends string
  ? `${T}`
  : T extends number | boolean | null | undefined
    ? T
    : T extends object
      ? { [K in keyof T]: Json<T[K]> }
      : T;

// Stricter than Grafana: every panel has these members.
interface Query extends DataQuery {
  datasource: DataSourceRef;
  expr: string;
  legendFormat: string;
  editorMode: "code";
  range: true;
}
interface Shown<Kind extends string, Options, Custom> extends Omit<Panel, "type" | "options" | "fieldConfig" | "targets"> {
  id: number;
  type: Kind;
  title: string;
  description: string;
  options: Options;
  fieldConfig: { defaults: FieldConfig<Custom> & { unit: string; thresholds: object }; overrides: [] };
  targets: Query[];
}
type Ours = Shown<"timeseries", LineOptions, LineConfig> | Shown<"stat", StatOptions, never>;

export type Board = Json<Omit<Dashboard, "panels"> & { uid: string; title: string }> & {
  panels: (Json<Ours> | Json<RowPanel>)[];
};
