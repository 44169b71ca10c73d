import type { Check, Result } from '../../doctor/check.ts';
import { ask, whoAmI } from '../../doctor/look.ts';
import { findProgram } from '../../tools/programs.ts';
import { tryQemu } from './trial.ts';

const NAME = 'qemu-system-x86_64';
/** A guest of a few bytes takes 0.1 s. */
const SLOW_MS = 10_000;

/** The monitor, tried with a guest: by the daemon itself, where one runs. */
export const check: Check = {
  name: NAME,
  async examine(host) {
    const row = (status: Result['status'], found: string, fix = ''): readonly Result[] => [
      { name: NAME, status, found, fix },
    ];
    const told = host.daemon?.providers.find(({ name }) => name === 'qemu');
    if (told) {
      const { program, version, available, why } = told;
      if (available) return row('ok', `${program} ${version} runs a guest, as the daemon finds it`);
      return row('fail', why, `What the daemon uses is ${program} (--qemu-bin)`);
    }
    const binary = host.settings['qemu-bin'] ?? NAME;
    if (!(await whoAmI(host)).root) {
      const found = await findProgram(host.files, host.path, binary);
      if (!found) return row('fail', `${binary} is not installed`, INSTALL);
      const { ok, text } = await ask(host, [found.path, '--version']);
      return ok
        ? row('ok', `${found.path} ${/version (\S+)/.exec(text)?.[1] ?? ''}; only root can try it with a guest`)
        : row('fail', `${found.path} does not run: ${text}`, INSTALL);
    }
    const { run, files, clock, signal } = host;
    const verdict = await tryQemu({ binary, accel: 'auto', acpi: true, whose: 'doctor', run, files, clock, signal });
    if (!verdict.works)
      return verdict.untried ? row('warn', verdict.why, 'Free some disk') : row('fail', verdict.why, INSTALL);
    const { version, acceleration, tookMs } = verdict;
    const found = `${binary} ${version} runs a guest with ${acceleration.accelerator}`;
    if (tookMs < SLOW_MS) return row('ok', found);
    const words = `${found}, but a guest of a few bytes took ${Math.round(tookMs / 1000)} s: this host is slow`;
    return row('warn', words, "Look at the host's load, or give it more");
  },
};

const INSTALL =
  "sudo apt-get install qemu-system-x86 qemu-system-data (Debian's names), or give another with --qemu-bin";
