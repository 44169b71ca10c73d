import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { agentProgram } from '../../guest/agent.ts';

/** Is killed while its agent is on the way: the first program of that waits for it. */
const KILLED = `
import { HybridVsock } from './hybrid-vsock.ts';
new HybridVsock(process.argv[2]).begin();
process.kill(process.pid, 'SIGKILL');
`;
const SETPRIV = `#!/bin/sh
PATH=\${PATH#*/stand-in/*:*:}
while kill -0 "$PPID" 2>/dev/null; do sleep 0.02; done
setpriv "$@"
echo "$?" >"\${0%/*}/ended"
`;

test('an agent is not begun for a stand-in that has been killed meanwhile', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'fl-vsock-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const [bin, main] = [join(directory, 'bin'), join(directory, 'main.ts')];
  mkdirSync(bin);
  writeFileSync(join(bin, 'setpriv'), SETPRIV, { mode: 0o755 });
  writeFileSync(main, KILLED);
  copyFileSync(join(import.meta.dirname, 'hybrid-vsock.ts'), join(directory, 'hybrid-vsock.ts'));
  copyFileSync(agentProgram(), join(directory, 'flintlock-agent'));
  const killed = spawn(process.execPath, [main, join(directory, 'socket')], {
    stdio: 'ignore',
    env: { ...process.env, PATH: `${bin}:${process.env.PATH}` },
  });
  expect(await once(killed, 'exit')).toEqual([null, 'SIGKILL']);
  const agents = (): readonly number[] =>
    readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => {
        try {
          return readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith(`${directory}/flintlock-agent`);
        } catch {
          return false; // ended meanwhile
        }
      });
  onTestFinished(() => {
    for (const pid of agents()) process.kill(pid, 'SIGKILL');
  });
  // It ends at once, and not with an agent that stays.
  await expect.poll(() => readdirSync(bin)).toContain('ended');
  expect(readFileSync(join(bin, 'ended'), 'utf8')).toBe('1\n');
  expect(agents()).toEqual([]);
});
