import { type Colour, paint, printable } from './style.ts';

/** A cell, with the colour that it has on a terminal. */
export type Cell = string | { readonly text: string; readonly colour: Colour | undefined };

const textOf = (cell: Cell): string => printable(typeof cell === 'string' ? cell : cell.text);

/** Widths that hold every cell of every row. */
export function widthsOf(rows: readonly (readonly Cell[])[]): number[] {
  const widths: number[] = [];
  for (const row of rows)
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, textOf(cell).length);
    });
  return widths;
}

/** One row, without trailing blanks and newline. */
export function rowText(row: readonly Cell[], widths: readonly number[], colour: boolean): string {
  return row
    .map((cell, i) => {
      const text = textOf(cell);
      const painted = paint(text, typeof cell === 'string' ? undefined : cell.colour, colour);
      return painted + ' '.repeat(Math.max(0, (widths[i] ?? 0) - text.length));
    })
    .join('  ')
    .trimEnd();
}

/** Rows under each other, each ended by a newline. */
export function tableText(
  rows: readonly (readonly Cell[])[],
  options: { readonly colour: boolean; readonly indent?: string },
): string {
  const widths = widthsOf(rows);
  return rows.map((row) => `${options.indent ?? ''}${rowText(row, widths, options.colour)}\n`).join('');
}
