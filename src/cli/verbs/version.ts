import { readFileSync } from 'node:fs';
import type { Configure } from '../context.ts';
import { EXIT } from '../exit.ts';

export const configure: Configure = (command, act) => {
  command
    .addHelpText('after', '\nExample:\n  flintlock version\n\nThe version of the daemon: flintlock info\n')
    .action(() =>
      act(async (context) => {
        await context.out(`flintlock ${version()}\n`);
        return EXIT.done;
      }),
    );
};

function version(): string {
  const json: unknown = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
  return typeof json === 'object' && json && 'version' in json ? String(json.version) : 'unknown';
}
