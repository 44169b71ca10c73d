import { expect, test } from 'vitest';
import { type ImageProcess, type ProcessSpec, processFiles, processOf } from './process.ts';

const IMAGE: ImageProcess = {
  ...{ entrypoint: ['/entry.sh'], args: ['serve', '--all'], environment: ['A=1', 'B=2=3', 'A=4'] },
  ...{ user: 'app', directory: '/srv', stopSignal: 3 },
};
const NOTHING: ProcessSpec = { environment: {}, user: '', directory: '' };

test.each<[string, ImageProcess | undefined, Partial<ProcessSpec>, readonly string[]]>([
  ['the image alone', IMAGE, {}, ['/entry.sh', 'serve', '--all']],
  ['arguments take the place of Cmd', IMAGE, { args: ['sh'] }, ['/entry.sh', 'sh']],
  ['an entrypoint takes the place of both', IMAGE, { entrypoint: ['/bin/sh'] }, ['/bin/sh']],
  ['both', IMAGE, { entrypoint: ['/bin/sh'], args: ['-c', 'x'] }, ['/bin/sh', '-c', 'x']],
  ['no entrypoint', IMAGE, { entrypoint: [], args: ['ls'] }, ['ls']],
  ['Cmd alone', { ...IMAGE, entrypoint: [] }, {}, ['serve', '--all']],
  ['nothing of the image is known', undefined, { args: ['ls'] }, ['ls']],
  ['nothing at all', undefined, {}, []],
])('%s', (_what, image, asked, words) => {
  expect(processOf(image, { ...NOTHING, ...asked }).words).toEqual(words);
});

test('variables of the spec come over those of the image, of which the last counts', () => {
  const { environment, user, directory } = processOf(IMAGE, { ...NOTHING, environment: { B: 'x' }, user: '0' });
  expect({ environment, user, directory }).toEqual({ environment: { A: '4', B: 'x' }, user: '0', directory: '/srv' });
});

test('the guest is given a request for its agent, the signal, and whether it goes before an init', () => {
  const files = new Map(processFiles(IMAGE, {}));
  expect([...files.keys()]).toEqual(['process/run', 'process/directory', 'process/stop']);
  expect(files.get('process/directory')).toBe('/srv');
  expect(files.get('process/stop')).toBe('3\n');
  expect(JSON.parse(files.get('process/run') ?? '')).toEqual({
    ...{ version: 1, op: 'exec' },
    exec: {
      ...{ cmd: '/entry.sh', args: ['serve', '--all'], env: { A: '4', B: '2=3' } },
      ...{ cwd: '/srv', user: 'app' },
    },
  });
  const asked = new Map(processFiles(undefined, { process: { ...NOTHING, args: ['ls'] } }));
  expect([...asked.keys()]).toEqual(['process/run', 'process/asked']);
  expect(JSON.parse(asked.get('process/run') ?? '')).toMatchObject({ exec: { cmd: 'ls', cwd: '/', user: '0' } });
});

test('what there is no program in is not given, and what cannot be used is told', () => {
  expect(processFiles(undefined, {})).toEqual([]);
  expect(processFiles({ ...IMAGE, entrypoint: [], args: [] }, { process: NOTHING })).toEqual([]);
  expect(processFiles({ wrong: 'its Env is no list' }, {})).toEqual([['process/wrong', 'its Env is no list\n']]);
  const asked = processFiles(undefined, { process: { ...NOTHING, entrypoint: [] } });
  expect(asked.map(([path]) => path)).toEqual(['process/wrong', 'process/asked']);
});
