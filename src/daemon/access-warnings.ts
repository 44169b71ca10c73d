import { parseEndpoint } from '../api/endpoint.ts';
import { type Configured, httpEndpoints } from './config.ts';

const SHORT = 16;

/** What the owner of the host should know of who may call, said loudly at each start. */
export function accessWarnings(configured: Configured): readonly string[] {
  const { config } = configured;
  const endpoints = [...config['grpc-endpoint'], ...httpEndpoints(configured)];
  const isOnTcp = endpoints.some((text) => parseEndpoint(text).kind === 'tcp');
  const token = config['basic-auth-token'];
  const hasTokens = token !== '' || config['basic-auth-token-file'] !== '' || config['tokens-file'] !== '';
  const warnings: string[] = [];
  if (isOnTcp && config.insecure && hasTokens)
    warnings.push(
      'TCP endpoints serve plain text: anybody on the way reads the tokens, and whoever has one rules this host',
    );
  else if (isOnTcp && config.insecure)
    warnings.push('TCP endpoints serve plain text: anybody who reaches them rules this host');
  else if (isOnTcp && !hasTokens && !config['tls-client-validate'])
    warnings.push(
      'anybody who reaches the TCP endpoints rules this host: give --tokens-file or --basic-auth-token-file, or --tls-client-validate',
    );
  if (token !== '' && token.length < SHORT)
    warnings.push(`the token of --basic-auth-token has under ${SHORT} characters and can be guessed`);
  if (token !== '' && configured.sources['basic-auth-token'] === 'flag')
    warnings.push(
      'everybody on this host can see the token of --basic-auth-token: give FLINTLOCKD_BASIC_AUTH_TOKEN or a file',
    );
  return warnings;
}
