/**
 * Says how much memory a Node program that listens for an inspector holds
 * after its garbage is collected: `node heap.ts PORT`, one JSON line.
 * A program of its own, since it must run in the daemon's network namespace.
 *
 * @see https://chromedevtools.github.io/devtools-protocol/v8/Runtime/#method-getHeapUsage
 */
interface Target {
  readonly webSocketDebuggerUrl: string;
}

const [port = ''] = process.argv.slice(2);
const [target] = (await (await fetch(`http://127.0.0.1:${port}/json/list`)).json()) as Target[];
if (!target) throw new Error('the program has no inspector');
const socket = new WebSocket(target.webSocketDebuggerUrl);
let last = 0;
const answers = new Map<number, (result: unknown) => void>();
socket.addEventListener('message', ({ data }) => {
  const { id, result } = JSON.parse(String(data)) as { id: number; result: unknown };
  answers.get(id)?.(result);
});
await new Promise((done, fail) => {
  socket.addEventListener('open', done);
  socket.addEventListener('error', () => fail(new Error('the inspector does not answer')));
});
const ask = <T>(method: string, params: object = {}): Promise<T> => {
  const id = ++last;
  socket.send(JSON.stringify({ id, method, params }));
  return new Promise((done) => answers.set(id, done as (result: unknown) => void));
};
// Twice: what the first frees of finalizers is garbage of the second.
await ask('HeapProfiler.collectGarbage');
await ask('HeapProfiler.collectGarbage');
const { usedSize } = await ask<{ usedSize: number }>('Runtime.getHeapUsage');
const { result } = await ask<{ result: { value: string } }>('Runtime.evaluate', {
  expression: 'JSON.stringify(process.memoryUsage())',
  returnByValue: true,
});
const { rss, external } = JSON.parse(result.value) as { rss: number; external: number };
console.log(JSON.stringify({ heapBytes: usedSize, externalBytes: external, rssBytes: rss }));
socket.close();
