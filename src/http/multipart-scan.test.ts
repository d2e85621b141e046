import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type FormScan, MultipartScan, type ScannedForm } from './multipart-scan.ts';
import { readBoundary } from './part-head.ts';

const BOUNDARY = 'b0undary';

interface Part {
  readonly head: string;
  readonly value: string;
}

function field(name: string, value: string, more = ''): Part {
  return { head: `Content-Disposition: form-data; name="${name}"${more}`, value };
}

const FILE = field(
  'file',
  `RIFF\r\n--b0\r\n\r\n--\0${'x'.repeat(300)}\r`,
  '; filename="a;\\"b\\".wav"\r\nContent-Type: audio/wav',
);

function formOf(parts: readonly Part[], end = '--\r\n'): Buffer {
  const text = parts.map(({ head, value }) => `--${BOUNDARY}\r\n${head}\r\n\r\n${value}\r\n`).join('');
  return Buffer.from(`${text}--${BOUNDARY}${end}`, 'latin1');
}

function scan(bytes: Buffer, pieceBytes = bytes.length): FormScan {
  const reader = new MultipartScan(BOUNDARY);
  for (let at = 0; at < bytes.length; at += pieceBytes)
    reader.push(Buffer.from(bytes.subarray(at, at + pieceBytes)));
  return reader.end();
}

function scanned(bytes: Buffer, pieceBytes?: number): ScannedForm {
  const form = scan(bytes, pieceBytes);
  assert(form.kind === 'ok', JSON.stringify(form));
  return form;
}

function faultOf(bytes: Buffer): string {
  const forms = [scan(bytes), scan(bytes, 1), scan(bytes, 7)];
  const texts = forms.map((form) => {
    assert(form.kind === 'fault', JSON.stringify(form));
    return `${form.refusal.code}: ${form.refusal.parameters['detail'] ?? form.refusal.parameters['key']}`;
  });
  assert.equal(new Set(texts).size, 1, `pieces change the verdict: ${texts.join(' / ')}`);
  return texts[0] ?? '';
}

describe('a form is read', () => {
  it('whatever the order of its parts and however its bytes are cut', () => {
    const model = field('model', 'org/whisper');
    const stream = field('stream', 'true');
    for (const parts of [
      [FILE, model, stream],
      [model, FILE, stream],
      [stream, model, FILE],
    ]) {
      const bytes = formOf(parts);
      for (const pieceBytes of [1, 2, 3, 11, 64, bytes.length]) {
        const form = scanned(bytes, pieceBytes);
        assert.equal(form.model, 'org/whisper');
        assert.equal(form.stream, true);
        assert.equal(bytes.toString('latin1', form.modelStart, form.modelEnd), 'org/whisper');
        assert.equal(form.modelHeadStart, null);
      }
    }
  });

  it('in every spelling that all readers take alike', () => {
    const heads = [
      'content-disposition: form-data; name="model"',
      'CONTENT-DISPOSITION:Form-Data;name=model',
      'Content-Disposition: form-data ; NAME="model"',
      'Content-Type: text/plain; charset=UTF-8\r\nContent-Disposition: form-data; name="model"',
      'Content-Disposition: form-data; name=model; size=7\r\nContent-Transfer-Encoding: 8bit',
    ];
    for (const head of heads) assert.equal(scanned(formOf([{ head, value: 'm1' }])).model, 'm1', head);
  });

  it('without a model, without a part, without a line end at its end', () => {
    assert.equal(scanned(formOf([FILE])).model, null);
    assert.equal(scanned(Buffer.from(`--${BOUNDARY}--`)).model, null);
    assert.equal(scanned(formOf([field('model', 'm1')], '--')).model, 'm1');
  });

  it('with values that look like something else', () => {
    assert.equal(scanned(formOf([field('model', '')])).model, '');
    assert.equal(scanned(formOf([field('model', 'a\r\nb\r')])).model, 'a\r\nb\r');
    assert.equal(
      scanned(formOf([field('Model', 'other'), field('model', 'm1'), field(' model', 'x')])).model,
      'm1',
    );
    assert.equal(
      scanned(formOf([field('file', 'x', '; filename="name=\\"model\\""'), field('model', 'm1')])).model,
      'm1',
    );
  });

  it('its stream is true for the words that pydantic takes', () => {
    for (const word of ['true', 'True', '1', 'on', 'YES', 'y', 't']) {
      assert.equal(scanned(formOf([field('stream', word)])).stream, true, word);
    }
    for (const word of ['false', '', '0', ' true', 'true\0', 'x'.repeat(100_000)]) {
      assert.equal(scanned(formOf([field('stream', word)])).stream, false, word.slice(0, 10));
    }
  });

  it('where its part has a Content-Length, that part is marked', () => {
    const bytes = formOf([
      FILE,
      { head: 'Content-Length: 2\r\nContent-Disposition: form-data; name="model"', value: 'm1' },
    ]);
    const form = scanned(bytes, 5);
    assert(form.modelHeadStart !== null);
    assert.match(
      bytes.toString('latin1', form.modelHeadStart, form.modelEnd),
      /^Content-Length: 2\r\n(.|\r\n)*\r\n\r\nm1$/,
    );
  });
});

describe('a form is refused', () => {
  const good = field('model', 'm1');
  const cases: readonly (readonly [string, Buffer, RegExp])[] = [
    ['a second model', formOf([good, field('model', 'm2')]), /model_duplicate: model/],
    ['the same model twice', formOf([good, good]), /model_duplicate/],
    ['a second stream', formOf([field('stream', '1'), field('stream', '0')]), /model_duplicate: stream/],
    ['a model as a file', formOf([field('model', 'm1', '; filename="x"')]), /`model` has a file name/],
    ['a model as a file without a name', formOf([field('model', 'm1', '; filename=""')]), /file name/],
    ['a model as a file by filename*', formOf([field('model', 'm1', "; filename*=utf-8''x")]), /file name/],
    ['a model that is too long', formOf([field('model', 'm'.repeat(2049))]), /longer than 2048/],
    ['a model that is not UTF-8', formOf([field('model', 'm\xff')]), /not UTF-8/],
    [
      'a model in another charset',
      formOf([field('model', 'm', '\r\nContent-Type: text/plain; charset=utf-16')]),
      /a charset/,
    ],
    [
      'a model in base64',
      formOf([field('model', 'm', '\r\nContent-Transfer-Encoding: base64')]),
      /Transfer-Encoding/,
    ],
    [
      'name*',
      formOf([{ head: "Content-Disposition: form-data; name*=utf-8''model", value: 'm1' }]),
      /without doubt/,
    ],
    ['two names', formOf([field('a', 'm1', '; name="model"')]), /without doubt/],
    [
      'a continued name',
      formOf([{ head: 'Content-Disposition: form-data; name*0=mo; name*1=del', value: '' }]),
      /without doubt/,
    ],
    ['an escape in a name', formOf([field('mo\\del', 'm1')]), /backslash/],
    [
      'text behind a quoted name',
      formOf([{ head: 'Content-Disposition: form-data; name="model"x', value: '' }]),
      /without doubt/,
    ],
    ['an unclear end of a quote', formOf([field('file', '', '; filename="a\\\\"; x="b"')]), /without doubt/],
    ['no name', formOf([{ head: 'Content-Disposition: form-data', value: 'm1' }]), /no name/],
    [
      'no Content-Disposition',
      formOf([{ head: 'Content-Type: text/plain', value: 'm1' }]),
      /no Content-Disposition/,
    ],
    [
      'two Content-Disposition',
      formOf([field('a', '', '\r\nContent-Disposition: form-data; name="model"')]),
      /two Content-Disposition/,
    ],
    [
      'another disposition',
      formOf([{ head: 'Content-Disposition: attachment; name="model"', value: '' }]),
      /not form-data/,
    ],
    [
      'a folded line',
      formOf([{ head: 'Content-Disposition: form-data;\r\n name="model"', value: 'm1' }]),
      /no header/,
    ],
    ['a bare line feed in a head', formOf([field('a', '', '\nX: y')]), /no header/],
    [
      'a space before the colon',
      formOf([{ head: 'Content-Disposition : form-data; name="model"', value: '' }]),
      /no header/,
    ],
    ['a part without a head', Buffer.from(`--${BOUNDARY}\r\n\r\nm1\r\n--${BOUNDARY}--`), /no head/],
    ['a head that is too long', formOf([field('a', '', `\r\nX: ${'y'.repeat(9000)}`)]), /longer than 8192/],
    ['too many parts', formOf(Array.from({ length: 1001 }, () => field('a', ''))), /more than 1000 parts/],
    [
      'text before the first boundary',
      Buffer.concat([Buffer.from('x\r\n'), formOf([good])]),
      /begin with its boundary/,
    ],
    ['another boundary', Buffer.from('--other\r\n'), /begin with its boundary/],
    ['nothing', Buffer.alloc(0), /ends before its last boundary/],
    ['no end', formOf([good], ''), /ends before its last boundary/],
    ['an end after half a boundary', formOf([good]).subarray(0, -6), /ends before its last boundary/],
    ['an end within a head', Buffer.from(`--${BOUNDARY}\r\nContent-Disp`), /ends before its last boundary/],
    [
      'text after the last boundary',
      Buffer.concat([formOf([good]), formOf([field('model', 'm2')])]),
      /follows its last boundary/,
    ],
    [
      'padding after a boundary',
      Buffer.from(formOf([good, good]).toString().replace('m1\r\n--b0undary', 'm1\r\n--b0undary ')),
      /followed by/,
    ],
    ['a longer boundary in the data', formOf([field('file', `a\r\n--${BOUNDARY}x`)]), /followed by/],
  ];
  for (const [what, bytes, expected] of cases) it(what, () => assert.match(faultOf(bytes), expected));
});

describe('the boundary', () => {
  it('is read bare and in quotes', () => {
    for (const [type, expected] of [
      ['multipart/form-data; boundary=abc', 'abc'],
      ['Multipart/Form-Data;charset=utf-8;BOUNDARY="a b"', 'a b'],
      [
        'multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW',
        '----WebKitFormBoundary7MA4YWxkTrZu0gW',
      ],
    ] as const) {
      const boundary = readBoundary(type);
      assert(boundary.ok && boundary.value === expected, type);
    }
  });

  it('is refused when it is missing, doubled, unclear, or the form is in another charset', () => {
    for (const parameters of [
      '',
      ';',
      '; boundary=',
      '; boundary=""',
      '; boundary="a "',
      '; boundary=a; boundary=b',
      "; boundary*=utf-8''a",
      '; boundary="a\\"b"',
      '; boundary=a b',
      '; boundary=a;',
      `; boundary=${'a'.repeat(71)}`,
      '; boundary=a; charset=utf-16',
    ]) {
      assert.equal(readBoundary(`multipart/form-data${parameters}`).ok, false, parameters);
    }
  });
});
