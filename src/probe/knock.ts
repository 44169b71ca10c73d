/** Knocks at a published port from the host, as its users do: ends with 0 when the probe answers. */
import { connect } from 'node:net';

const [host = '', port = '', patienceMs = ''] = process.argv.slice(2);
const end = Date.now() + Number(patienceMs);

const knock = (): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host, port: Number(port), timeout: Math.max(50, Math.min(1_000, end - Date.now())) });
    const done = (isHeard: boolean): void => {
      socket.destroy();
      resolve(isHeard);
    };
    socket.on('data', (data) => done(data.toString('latin1').startsWith('here')));
    for (const event of ['timeout', 'error', 'close'] as const) socket.on(event, () => done(false));
  });

let isHeard = await knock();
while (!isHeard && Date.now() < end) {
  await new Promise((resolve) => setTimeout(resolve, 100));
  isHeard = await knock();
}
process.exit(isHeard ? 0 : 1);
