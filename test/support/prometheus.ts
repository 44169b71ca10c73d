/** What stands in Prometheus' text format: the type of each family, and the value of each series as it is written. */
export interface Exposition {
  readonly types: ReadonlyMap<string, string>;
  readonly values: ReadonlyMap<string, number>;
}

const VALUE = /^([a-z_][a-z0-9_]*)(\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*"(?:,(?!\}))?)*\})? (\S+)$/;
const PARTS = ['_bucket', '_sum', '_count'];

/**
 * Reads it as strictly as the format is written.
 * @throws for a line that is none, a family told twice or not at all, a series told twice
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
 */
export function parseExposition(text: string): Exposition {
  const types = new Map<string, string>();
  const values = new Map<string, number>();
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  let helped = '';
  let family = '';
  for (const line of text.slice(0, -1).split('\n')) {
    const [, keyword, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (keyword === 'HELP') helped = name;
    else if (keyword === 'TYPE') {
      if (types.has(name) || helped !== name) throw new Error(`family ${name} is told twice, or without a HELP`);
      types.set(name, rest);
      family = name;
    } else {
      const [, series = '', labels = '', value = ''] = VALUE.exec(line) ?? [];
      const isPart = types.get(family) === 'histogram' && PARTS.some((part) => series === `${family}${part}`);
      const number = value === '+Inf' ? Infinity : Number(value);
      if ((series !== family && !isPart) || value === '' || Number.isNaN(number)) throw new Error(`no line: ${line}`);
      if (values.has(series + labels)) throw new Error(`${series}${labels} is told twice`);
      values.set(series + labels, number);
    }
  }
  return { types, values };
}
