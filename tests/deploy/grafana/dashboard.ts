// A dashboard as Grafana exports it, in Grafana's own types, with the options of the panels used
// here filled in; test_dashboards.py puts each dashboard beside this as a literal of `Checked`, so
// that a misspelt or unknown key is an error.
import type { Dashboard, Panel, RowPanel, VariableModel, FieldConfig, GraphFieldConfig } from '@grafana/schema';
import type { Options as TimeSeriesOptions } from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';
import type { Options as StatOptions } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type { Options as TableOptions, FieldConfig as TableFieldConfig } from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';

// JSON has the values of an enumeration, never its names.
type Json<T> = T extends string
  ? `${T}`
  : T extends number | boolean | null | undefined
    ? T
    : T extends (infer Item)[]
      ? Json<Item>[]
      : T extends object
        ? { [Key in keyof T]: Json<T[Key]> }
        : T;

interface PrometheusQuery {
  refId: string;
  datasource: { type: 'prometheus'; uid: string };
  expr: string;
  legendFormat: string;
  editorMode: 'code' | 'builder';
  range: boolean;
  instant: boolean;
  format?: 'time_series' | 'table' | 'heatmap';
}

type Defaults<Custom> = Omit<Json<FieldConfig>, 'custom'> & { custom?: Partial<Json<Custom>> };

type Of<Type extends string, Options, Custom> = Omit<
  Json<Panel>,
  'type' | 'options' | 'fieldConfig' | 'targets'
> & {
  type: Type;
  targets: PrometheusQuery[];
  options: Partial<Json<Options>>;
  fieldConfig: {
    defaults: Defaults<Custom>;
    overrides: NonNullable<Json<Panel>['fieldConfig']>['overrides'];
  };
};

type AnyPanel =
  | Of<'timeseries', TimeSeriesOptions, GraphFieldConfig>
  | Of<'stat', StatOptions, object>
  | Of<'table', TableOptions, TableFieldConfig>
  | (Omit<Json<RowPanel>, 'panels'> & { panels: never[] });

export type Checked = Omit<Json<Dashboard>, 'panels' | 'templating'> & {
  panels: AnyPanel[];
  templating: { list: Json<VariableModel>[] };
};
