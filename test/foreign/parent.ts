import type { TestHost } from '../support/daemon.ts';

/** The parent of MACVTAP interfaces: one end of a wire of the test's own. */
export const PARENT = 'up0';

export async function plugParent(host: TestHost): Promise<void> {
  await host.tool('ip', 'link', 'add', PARENT, 'type', 'veth', 'peer', 'name', 'up1');
  for (const name of [PARENT, 'up1']) await host.tool('ip', 'link', 'set', name, 'up');
}
