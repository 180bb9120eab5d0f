// Reads an AsyncAPI document with the official parser, protobuf schemas included, and prints what it found wrong.
// Run from the folder that has the packages of package.json: node asyncapi.mjs FILE
import { readFileSync } from 'node:fs';
import { Parser } from '@asyncapi/parser';
import { ProtoBuffSchemaParser } from '@asyncapi/protobuf-schema-parser';

const parser = new Parser();
parser.registerSchemaParser(ProtoBuffSchemaParser());
const { document, diagnostics } = await parser.parse(readFileSync(process.argv[2], 'utf8'));
for (const { message, path, range } of diagnostics) {
  console.log(`line ${range.start.line + 1}: ${message} (${path.join('.')})`);
}
const empty = document?.messages().filter((message) => message.contentType() === 'application/x-protobuf'
  && message.hasPayload() && Object.keys(message.payload().properties() ?? {}).length === 0) ?? [];
for (const message of empty) console.log(`${message.name()}: its schema has no fields`);
process.exit(document && diagnostics.length === 0 && empty.length === 0 ? 0 : 1);
