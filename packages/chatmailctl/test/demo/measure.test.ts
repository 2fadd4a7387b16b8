import t from 'tap';
import { busySecondsOf, median } from '../../src/demo/measure.ts';

t.test('busySecondsOf', async (t) => {
  const rows: [page: string, seconds: number | undefined, reason: string][] = [
    ['', undefined, 'a daemon that does not count'],
    ['filtermail_message_seconds_sum 0', 0, 'one that has done nothing yet'],
    ['filtermail_message_seconds_sum{direction="outgoing"} 0.5\n', 0.5, 'one series'],
    [
      'filtermail_message_seconds_sum{direction="a"} 0.5\nfiltermail_message_seconds_sum{direction="b"} 1e-3',
      0.501,
      'all labels',
    ],
    [
      'filtermail_end_of_message_seconds_sum{direction="a"} 0.5',
      undefined,
      'part of another histogram: not counted twice',
    ],
    [
      'filtermail_message_seconds_count 7\n# filtermail_message_seconds_sum 3',
      undefined,
      'neither counts nor comments',
    ],
    ['doveauth_request_seconds_sum 0.25\nmetadata_push_request_seconds_sum 0.25', 0.5, 'the dict daemons'],
    ['chatmail_push_answer_seconds_sum{provider="gateway"} 9', undefined, "the gateway's time is not ours"],
  ];
  for (const [page, seconds, reason] of rows) t.equal(busySecondsOf(page), seconds, reason);
});

t.test('median', async (t) => {
  const rows: [values: number[], median: number, reason: string][] = [
    [[3], 3, 'one'],
    [[10, 9, 1], 9, 'by value, not as text'],
    [[4, 1, 3, 2], 2, 'even: the lower one'],
    [[], Number.NaN, 'none'],
  ];
  for (const [values, expected, reason] of rows) t.ok(Object.is(median(values), expected), reason);
});
