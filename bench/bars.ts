/** One bar: what takes how long. */
export interface Bar {
  readonly label: string;
  readonly value: number;
}

const EIGHTHS = ' ▏▎▍▌▋▊▉';

/** A bar chart for a terminal, the longest as wide as `width` characters. */
export function textBars(bars: readonly Bar[], unit: string, width = 40): string {
  const most = Math.max(...bars.map(({ value }) => value), Number.MIN_VALUE);
  const label = Math.max(0, ...bars.map((bar) => bar.label.length));
  return bars
    .map(({ label: text, value }) => {
      const eighths = Math.round((Math.max(0, value) / most) * width * 8);
      const part = eighths % 8 === 0 ? '' : (EIGHTHS[eighths % 8] ?? '');
      return `${text.padEnd(label)}  ${value.toFixed(2).padStart(8)} ${unit}  ${'█'.repeat(eighths >> 3)}${part}`.trimEnd();
    })
    .join('\n');
}
