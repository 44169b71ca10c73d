import { expect, test } from 'vitest';
import { hostNames, namesIn } from './own-names.ts';

test.for([
  ['a name alone', '127.0.0.1 localhost\n', 'web1', ['web1']],
  [
    'as Debian writes it',
    '127.0.0.1\tlocalhost\n127.0.1.1\tweb1.example.com\tweb1\n',
    'web1',
    ['web1', 'web1.example.com'],
  ],
  ['with its domain', '', 'web1.example.com', ['web1.example.com', 'web1']],
  ["not a neighbour's", '192.0.2.3 web2.example.com web2 # web1\n', 'web1', ['web1']],
  ['no name at all', '192.0.2.3\n\n# nothing\n', '', []],
] as const)('%s', ([, hosts, name, all]) => {
  expect(namesIn(hosts, name)).toEqual(all);
});

test('this host has one', () => {
  expect(hostNames().length).toBeGreaterThan(0);
});
