import type { Timestamp } from '@bufbuild/protobuf/wkt';

/** `12.3 MiB` */
export function bytesText(bytes: bigint | number): string {
  let value = Number(bytes);
  if (value < 1024) return `${value} B`;
  let unit = '';
  for (unit of ['KiB', 'MiB', 'GiB', 'TiB']) {
    value /= 1024;
    if (value < 1024) break;
  }
  return `${value.toFixed(1)} ${unit}`;
}

/** `45s`, `12m`, `5h`, `3d`: coarse, for a column. */
export function ageText(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** `1.2 s`, `75 s` */
export function secondsText(ms: number): string {
  const seconds = Math.max(0, ms / 1000);
  return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
}

/** Milliseconds since 1970; undefined where it is not set. */
export function millisOf(at: Timestamp | undefined): number | undefined {
  return at === undefined ? undefined : Number(at.seconds) * 1000 + Math.floor(at.nanos / 1e6);
}

/** `2026-11-24 23:42:01 UTC (5m ago)` */
export function timeText(at: Timestamp | undefined, now: number): string {
  const ms = millisOf(at);
  if (ms === undefined) return '';
  return `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')} UTC (${ageText(now - ms)} ago)`;
}
