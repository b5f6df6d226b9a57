// Runs google-sheet.gs as Google does, as far as its documentation tells: POST /exec runs doPost and answers 302 to
// another host; a script that throws answers 200 with a page; a deployment that asks for a login redirects to
// /login of another host. GET /rows shows the sheet. Usage: node google-sheet-stand-in.mjs TOKEN
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { runInNewContext } from 'node:vm';

const token = process.argv[2];
const rows = [];
// A sheet keeps a text that begins with an apostrophe without it.
const kept = (value) => (typeof value === 'string' ? value.replace(/^'/, '') : value);
const sheet = {
  getLastRow: () => rows.length,
  appendRow: (row) => rows.push(row.map(kept)),
  getRange: (row, column, height, width) => ({
    getValues: () => rows.slice(row - 1, row - 1 + height).map((cells) => cells.slice(column - 1, column - 1 + width)),
  }),
};
const script = {
  PropertiesService: { getScriptProperties: () => ({ getProperty: (name) => (name === 'TOKEN' ? token : null) }) },
  LockService: { getScriptLock: () => ({ waitLock: () => undefined, releaseLock: () => undefined }) },
  SpreadsheetApp: { getActiveSpreadsheet: () => ({ getSheets: () => [sheet] }) },
  ContentService: { createTextOutput: (content) => ({ content }) },
};
runInNewContext(readFileSync(new URL('google-sheet.gs', import.meta.url), 'utf8'), script);

const server = createServer((request, response) => {
  const pieces = [];
  request.on('data', (piece) => pieces.push(piece));
  request.on('end', () => {
    const url = new URL(request.url, 'http://sheet.invalid');
    if (url.pathname === '/rows') {
      response.end(JSON.stringify(rows));
    } else if (url.pathname !== '/exec') {
      response.writeHead(302, { Location: 'https://accounts.google.invalid/ServiceLogin' }).end();
    } else {
      try {
        const parameter = Object.fromEntries(url.searchParams);
        script.doPost({ parameter, postData: { contents: Buffer.concat(pieces).toString('utf8') } });
        response.writeHead(302, { Location: 'https://script.googleusercontent.invalid/macros/echo?user_content_key=k' }).end();
      } catch (error) {
        response.writeHead(200, { 'Content-Type': 'text/html' }).end(`<p>${error.message}</p>`);
      }
    }
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
