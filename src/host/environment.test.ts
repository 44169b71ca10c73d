import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { registryEnvironment, toolEnvironment } from './environment.ts';

const OURS = { XDG_RUNTIME_DIR: '/nonexistent' };

test.each([
  [
    { HTTPS_PROXY: 'http://a:1', no_proxy: 'x', OTHER: 'y', HOME: '/root' },
    { HTTPS_PROXY: 'http://a:1', NO_PROXY: 'x' },
  ],
  [{ https_proxy: 'http://a:1', HTTPS_PROXY: 'http://b:1' }, { HTTPS_PROXY: 'http://b:1' }],
  [{ all_proxy: 'socks5://a:1' }, { HTTP_PROXY: 'socks5://a:1', HTTPS_PROXY: 'socks5://a:1' }],
  [
    { ALL_PROXY: 'socks5://a:1', http_proxy: 'http://b:1' },
    { HTTP_PROXY: 'http://b:1', HTTPS_PROXY: 'socks5://a:1' },
  ],
  [
    { SSL_CERT_FILE: '/ca.pem', SSL_CERT_DIR: '/cas' },
    { SSL_CERT_FILE: '/ca.pem', SSL_CERT_DIR: '/cas' },
  ],
  [{ HTTPS_PROXY: '' }, {}],
])('of %j registries see %j', (given, seen) => expect(registryEnvironment(given)).toEqual({ ...seen, ...OURS }));

test('the configuration that tools get of us is there', () => {
  const { MKE2FS_CONFIG = '', MTOOLSRC = '' } = toolEnvironment();
  for (const path of [MKE2FS_CONFIG, MTOOLSRC]) expect(existsSync(path), path).toBe(true);
});
