//! The page's own rules, in the browser that runs them: exact decimals, the stream's form, pauses, the chart's arithmetic.

use super::World;
use super::browser::Browser;
use serde_json::json;

#[test]
fn the_modules_keep_their_rules() {
    let Some(browser) = Browser::start("the page's modules") else { return };
    let world = World::start(&[]);
    browser.open(&world.url(""));

    let decimals = browser.js_async(
        "const { sum, shown, signed, sign, percent, units } = await import('/page/decimal.js');
         return [sum(['0.1', '0.2']), sum(['90000000000.00000001', '-0.00000002']), sum(['1', 'x']), sum([]),
           shown('2500'), shown('2500.005'), shown('-0.5'), signed('100'), signed('-100'), signed('0'), sign('-0'), sign('nan'),
           percent(239), percent(-5), percent(null), units('1e5'), units('1.123456789'), units(' 7 ') === 700000000n]",
    );
    let expected = json!([
        "0.3",
        "89999999999.99999999",
        null,
        "0",
        "2500.00",
        "2500.005",
        "\u{2212}0.50",
        "+100.00",
        "\u{2212}100.00",
        "0.00",
        0,
        null,
        "2.39 %",
        "\u{2212}0.05 %",
        "",
        null,
        null,
        true
    ]);
    assert_eq!(decimals, expected);

    let events = browser.js_async(
        "const { Parser, pause } = await import('/page/stream.js');
         const text = ': hello\\r\\n\\r\\nid: 7\\r\\nevent: ready\\r\\ndata: {}\\r\\n\\r\\nid:8\\ndata: a\\ndata:  b\\n\\nevent: none\\n\\nretry: 2\\ndata: é\\n\\n';
         const cut = (size) => { const parser = new Parser(); const found = [];
           for (let at = 0; at < text.length; at += size) found.push(...parser.push(text.slice(at, at + size)));
           return JSON.stringify(found); };
         const all = [1, 2, 3, 5, 1000].map(cut);
         const pauses = [0, 1, 20].map((failures) => [pause(failures, 0), pause(failures, 1)]);
         return [JSON.parse(all[0]), new Set(all).size, pauses]",
    );
    let expected = json!([
        { "id": "7", "type": "ready", "data": "{}" },
        { "id": "8", "type": "message", "data": "a\n b" },
        { "id": null, "type": "message", "data": "é" },
    ]);
    assert_eq!((&events[0], &events[1]), (&expected, &json!(1)), "the same wherever the packets are cut");
    assert_eq!(events[2], json!([[250, 500], [500, 1000], [7500, 15000]]));

    let model = browser.js_async(
        "const { Model } = await import('/page/model.js');
         const model = new Model();
         const event = (type, version, data) => model.apply({ type, user_id: 'u', strategy_id: 's', version, data });
         model.put({ user_id: 'u', id: 's', version: 3, fields: { stop_loss: '1', trail: '5' } });
         const said = [event('STRATEGY_UPDATED', 3, { stop_loss: '9' }), event('STRATEGY_UPDATED', 5, {}), event('STRATEGY_UPDATED', 4, { stop_loss: '2', trail: '' })];
         const fields = model.strategies.get('u:s').fields;
         event('STRATEGY_REMOVED', 5, {});
         model.put({ user_id: 'u', id: 's', version: 4, fields: {} });
         model.price('X', '1', 60_000);
         const open = { user_id: 'u', id: 'o', version: 1, fields: { symbol: 'X', position: 'BOUGHT' } };
         model.holds('u', [{ user_id: 'u', strategy_id: 'o' }]);
         const old = model.position(open).fresh;
         model.price('X', '2', 0);
         const fresh = model.position(open).fresh;
         return [said, fields, model.strategies.size, [old, fresh], model.quote('Y')]",
    );
    assert_eq!(
        model,
        json!([[true, false, true], { "stop_loss": "2" }, 0, [false, true], null]),
        "old words change nothing"
    );

    let chart = browser.js_async(
        "const { scale, spread, pieces } = await import('/page/chart.js');
         const flat = scale([5, 5], 100, 0), sloped = scale([0, 10], 100, 0);
         const labels = spread([{ y: 50 }, { y: 52 }, { y: 51 }, { y: 99 }], 17, 0, 100).map(({ y }) => y).sort((a, b) => a - b);
         const apart = labels.every((y, at) => y >= 0 && y <= 100 && (!at || y - labels[at - 1] >= 17));
         return [Math.round(flat(5)), sloped(0) > sloped(10), sloped(10) > 0, apart,
           pieces([{ at: 0 }, { at: 10 }, { at: 100 }, { at: 130, wide: 50 }], 15).map((piece) => piece.length)]",
    );
    assert_eq!(chart, json!([50, true, true, true, [2, 2]]));

    let schemas = browser.js_async(
        "const { example, type } = await import('/page/schema.js');
         const level = { type: 'object', required: ['level'], properties: { level: { type: 'string' }, left_bps: { type: ['integer', 'null'] } } };
         const loop = { type: 'object', properties: { next: { $ref: '#/components/schemas/Loop' } } };
         const document = { components: { schemas: { Level: level, Loop: loop } } };
         const ref = (name) => ({ $ref: `#/components/schemas/${name}` });
         const words = (schema) => type(schema).map((word) => word.schema ?? word).join('');
         const nullable = { oneOf: [ref('Level'), { type: 'null' }] };
         return [example(document, nullable), words(nullable), words({ type: 'array', items: ref('Level') }), words({ type: ['string', 'null'] }),
           JSON.stringify(example(document, ref('Loop'))).length < 200, example(document, { type: 'object', example: { a: 1 } })]",
    );
    let expected = json!([
        { "level": "text", "left_bps": 1 },
        "Level or null",
        "array of Level",
        "text or null",
        true,
        { "a": 1 }
    ]);
    assert_eq!(schemas, expected);
    assert_eq!(browser.complaints(), Vec::<serde_json::Value>::new());
}
