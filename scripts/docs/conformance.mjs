import { GROUPS } from '../../test/conformance/groups.ts';
import { code, made, table } from './markdown.mjs';

/** What the suite expects, as far as it is known before a guest has booted. */
export function conformancePage() {
  const sections = Object.keys(GROUPS).map((group) => {
    const all = Object.values(GROUPS);
    const proved = all.flatMap(({ scenes }) => scenes.flatMap(({ rows }) => rows));
    const refused = all.flatMap((one) => one.refused);
    const own = (rows) => rows.filter(({ row }) => row.startsWith(`${group}/`));
    const rows = [
      ...own(proved).map(({ row, expected, host }) => [
        code(row.split('/')[1]),
        host ? 'guest, host' : 'guest',
        typeof expected === 'string' ? code(expected) : 'what the record says',
      ]),
      ...own(refused).map(({ row, field, words }) => [
        code(row.split('/')[1]),
        'refused',
        code(`${field}: …${words}…`),
      ]),
    ];
    return `## ${group}\n\n${table(['row', 'asked', 'expected'], rows)}`;
  });
  return `${made('test/conformance')}
# How every field is proved

\`npm run conformance\` boots real guests with every field of the [spec](spec.md), asks them what they see, and compares
that with what the record says and what the host's own tools show. A row is \`group/name\`; \`--only PATTERN\` picks rows,
\`--provider NAME\` tries another provider, \`-o json\` prints them with the guest's own lines as evidence. Rows that are
refused ask for what cannot be: create says so, in these words, and nothing is stored.

${sections.join('\n')}`;
}
