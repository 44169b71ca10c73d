export const made = (from) => `<!-- Made by "npm run docs" from ${from}. Change that instead. -->\n`;

/** In a table a bar ends a cell, and a line end the row. */
export const cell = (text) =>
  text
    .replaceAll('|', '\\|')
    .replaceAll(/\s*\n\s*/g, ' ')
    .trim();
export const code = (text) => (text === '' ? '' : `\`${text.replaceAll('|', '\\|')}\``);
export const table = (head, rows) =>
  [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |\n`).join('');
export const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}${text.endsWith('.') ? '' : '.'}`;
