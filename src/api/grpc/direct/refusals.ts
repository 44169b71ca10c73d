import { Code, ConnectError } from '@connectrpc/connect';

export const cutOff = (): ConnectError =>
  new ConnectError('The request ends in the middle of its message', Code.InvalidArgument);

export const tooLong = (bytes: number, maxBytes: number): ConnectError =>
  new ConnectError(`The message has ${bytes} bytes: more than the ${maxBytes} that are read`, Code.ResourceExhausted);

export const notWhole = (ms: number): ConnectError =>
  new ConnectError(`The request was not whole after ${ms / 1_000} s`, Code.DeadlineExceeded);
