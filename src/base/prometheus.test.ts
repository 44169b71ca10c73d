import { describe, expect, test } from 'vitest';
import { parseExposition } from '../../test/support/prometheus.ts';
import { Registry } from './prometheus.ts';

describe('the text of a registry', () => {
  test('is what the format says, to the letter', () => {
    const registry = new Registry();
    const calls = registry.counter('calls_total', 'Calls\nby "method" and C:\\path.');
    calls.add(2, { method: 'Get', code: 'OK' });
    calls.add(1, { method: 'a"b\\c\nd' });
    calls.add(1, { method: 'Get', code: 'OK' });
    registry.gauge('nothing', 'No series.');
    registry.gauge('heat', 'Of the host.').set(-1.5);
    const took = registry.histogram('took_seconds', 'Time.', [0.1, 1]);
    for (const value of [0.1, 0.05, 0.5, 7]) took.observe(value, { step: 'tap' });
    expect(registry.text()).toBe(
      [
        '# HELP calls_total Calls\\nby "method" and C:\\\\path.',
        '# TYPE calls_total counter',
        'calls_total{method="Get",code="OK"} 3',
        'calls_total{method="a\\"b\\\\c\\nd"} 1',
        '# HELP nothing No series.',
        '# TYPE nothing gauge',
        '# HELP heat Of the host.',
        '# TYPE heat gauge',
        'heat -1.5',
        '# HELP took_seconds Time.',
        '# TYPE took_seconds histogram',
        'took_seconds_bucket{step="tap",le="0.1"} 2',
        'took_seconds_bucket{step="tap",le="1"} 3',
        'took_seconds_bucket{step="tap",le="+Inf"} 4',
        'took_seconds_sum{step="tap"} 7.65',
        'took_seconds_count{step="tap"} 4',
        '',
      ].join('\n'),
    );
    expect(parseExposition(registry.text()).values.get('took_seconds_count{step="tap"}')).toBe(4);
  });

  test('has one series for the same labels, in whatever order they come', () => {
    const registry = new Registry();
    const calls = registry.counter('calls_total', 'Calls.');
    const took = registry.histogram('took_seconds', 'Time.', [1]);
    const heat = registry.gauge('heat', 'Of the host.');
    for (const labels of [
      { method: 'Get', code: 'OK' },
      { code: 'OK', method: 'Get' },
    ]) {
      calls.add(1, labels);
      heat.add(2, labels);
      took.observe(0.5, labels);
    }
    expect([...parseExposition(registry.text()).values]).toEqual([
      ['calls_total{method="Get",code="OK"}', 2],
      ['took_seconds_bucket{method="Get",code="OK",le="1"}', 2],
      ['took_seconds_bucket{method="Get",code="OK",le="+Inf"}', 2],
      ['took_seconds_sum{method="Get",code="OK"}', 1],
      ['took_seconds_count{method="Get",code="OK"}', 2],
      ['heat{method="Get",code="OK"}', 4],
    ]);
  });

  test('tells series apart whose names and values run together', () => {
    const calls = new Registry().counter('calls_total', 'Calls.');
    calls.add(1, { a: 'b', c: 'd' });
    calls.add(1, { a: 'b,c:d' });
    expect([...calls.lines()]).toHaveLength(2);
  });

  test('shows what is known only: a cleared gauge is gone', () => {
    const registry = new Registry();
    const gauge = registry.gauge('heat', 'Of the host.');
    gauge.set(Infinity);
    gauge.add(1, { of: 'disk' });
    gauge.add(1, { of: 'disk' });
    expect(registry.text()).toContain('heat +Inf\nheat{of="disk"} 2\n');
    gauge.clear();
    expect([...parseExposition(registry.text()).values]).toEqual([]);
  });

  test('has each name once, and only names that may be', () => {
    const registry = new Registry();
    registry.gauge('heat', 'Of the host.');
    for (const name of ['heat', 'Heat', '1heat', 'he-at', ''])
      expect(() => registry.counter(name, 'x')).toThrow(`"${name}" is no name for a metric, or is taken`);
    expect(registry.names()).toEqual(['heat']);
  });
});
