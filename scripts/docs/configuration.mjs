import { exampleFile, SETTING_TEXTS } from '../../src/daemon/describe.ts';
import { cell, code, made, sentence, table } from './markdown.mjs';

export function configurationPage() {
  const rows = SETTING_TEXTS.map(({ name, value, repeatable, help, standard, environment }) => [
    `${code(`--${name}`)}<br>${code(environment)}`,
    `${code(value)}${repeatable ? ', several' : ''}`,
    code(standard),
    cell(sentence(help)),
  ]);
  return `${made('src/daemon/settings.ts')}
# Configuration of flintlockd

A setting is taken from the first of these that has it:

1. the flag of \`flintlockd run\`, e.g. \`--state-dir /srv/flintlock\`
2. the environment variable, e.g. \`FLINTLOCKD_STATE_DIR\`; several values are split at commas
3. the YAML file that \`--config FILE\` or \`FLINTLOCKD_CONFIG\` names, with keys as the flags without their dashes
4. the default

\`flintlockd run … --config-check\` prints what is in force and where each value came from, and ends; with
\`--config-check json\` for programs. Unknown flags, keys and \`FLINTLOCKD_\` variables, impossible values and settings that
contradict each other are refused at the start, all at once, with exit status 1.

## Settings

${table(['flag and variable', 'value', 'default', 'meaning'], rows)}
Times are written as \`90s\`, \`15m\`, \`24h\` or \`7d\`.

## An example file

\`flintlockd config-example\` prints this, to be changed where you want something else:

\`\`\`yaml
${exampleFile()}\`\`\`
`;
}
