import type { Bar } from './bars.ts';

export interface Line {
  readonly label: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Plot {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly lines: readonly Line[];
}

const WIDTH = 720;
const HEIGHT = 360;
const LEFT = 70;
const RIGHT = 20;
const TOP = 40;
const BOTTOM = 50;
/** Told apart without colours, too: by their dashes. */
const STROKES = [
  ['#1f6feb', ''],
  ['#bc4c00', '6 3'],
  ['#1a7f37', '2 3'],
  ['#8250df', '8 3 2 3'],
] as const;

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

const text = (x: number, y: number, words: string, attributes = ''): string =>
  `<text x="${round(x)}" y="${round(y)}" ${attributes}>${escaped(words)}</text>`;

const round = (value: number): string => String(Math.round(value * 10) / 10);

/** A picture of its own, on white: it is looked at on pages of either colour. */
const picture = (width: number, height: number, title: string, parts: readonly string[]): string =>
  [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" font-family="sans-serif" font-size="12">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    text(width / 2, 20, title, 'text-anchor="middle" font-size="14"'),
    ...parts,
    '</svg>',
    '',
  ].join('\n');

/** Steps of 1, 2 or 5 times a power of ten, from 0 to at least `most`; about five. */
export function ticks(most: number): readonly number[] {
  if (!(most > 0)) return [0, 1];
  const rough = most / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough * (1 - 1e-9)) ?? most;
  return Array.from({ length: Math.ceil(most / step - 1e-9) + 1 }, (_, i) => Number((i * step).toPrecision(12)));
}

/** Lines over two axes that begin at 0. */
export function plotSvg({ title, x, y, lines }: Plot): string {
  const all = lines.flatMap(({ points }) => points);
  const xs = ticks(Math.max(0, ...all.map(([value]) => value)));
  const ys = ticks(Math.max(0, ...all.map(([, value]) => value)));
  const across = (value: number): number => LEFT + (value / (xs.at(-1) ?? 1)) * (WIDTH - LEFT - RIGHT);
  const up = (value: number): number => HEIGHT - BOTTOM - (value / (ys.at(-1) ?? 1)) * (HEIGHT - TOP - BOTTOM);
  const grid = [
    ...xs.map((tick) => text(across(tick), HEIGHT - BOTTOM + 18, String(tick), 'text-anchor="middle"')),
    ...ys.flatMap((tick) => [
      `<path d="M${LEFT} ${round(up(tick))}H${WIDTH - RIGHT}" stroke="#ddd"/>`,
      text(LEFT - 8, up(tick) + 4, String(tick), 'text-anchor="end"'),
    ]),
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, x, 'text-anchor="middle"'),
    text(0, 0, y, `text-anchor="middle" transform="translate(16 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)"`),
  ];
  const drawn = lines.flatMap(({ label, points }, i) => {
    const [colour, dashes] = STROKES[i % STROKES.length] ?? STROKES[0];
    const stroke = `stroke="${colour}" stroke-dasharray="${dashes}"`;
    const path = points.map(([px, py], n) => `${n === 0 ? 'M' : 'L'}${round(across(px))} ${round(up(py))}`).join('');
    const at = TOP + 12 + i * 16;
    return [
      `<path d="${path}" fill="none" stroke-width="2" ${stroke}/>`,
      ...points.map(([px, py]) => `<circle cx="${round(across(px))}" cy="${round(up(py))}" r="3" fill="${colour}"/>`),
      `<path d="M${LEFT + 12} ${at - 4}h24" stroke-width="2" ${stroke}/>`,
      text(LEFT + 42, at, label),
    ];
  });
  return picture(WIDTH, HEIGHT, title, [...grid, ...drawn]);
}

const BAR = 22;
const LABELS = 150;

/** One bar below the other. */
export function barsSvg(title: string, bars: readonly Bar[], unit: string): string {
  const most = Math.max(...bars.map(({ value }) => value), Number.MIN_VALUE);
  const room = WIDTH - LABELS - 100;
  const parts = bars.flatMap(({ label, value }, i) => {
    const y = TOP + i * BAR;
    const width = (Math.max(0, value) / most) * room;
    return [
      text(LABELS - 8, y + 14, label, 'text-anchor="end"'),
      `<rect x="${LABELS}" y="${y + 2}" width="${round(width)}" height="${BAR - 6}" fill="${STROKES[0][0]}"/>`,
      text(LABELS + width + 6, y + 14, `${value.toFixed(2)} ${unit}`),
    ];
  });
  return picture(WIDTH, TOP + bars.length * BAR + 16, title, parts);
}
