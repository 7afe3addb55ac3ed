/* The input is a text for a SentencePiece and a byte-level vocabulary. Its tokens must give it back. */
#include "base/buffer.h"
#include "base/utf8.h"
#include "fuzz.h"

static const hb_model *model_at(int i)
{
    static hb_model *models[2];
    static const char *const paths[2] = {HBAR_TEST_MODELS "/tiny-chat.gguf",
                                         HBAR_TEST_MODELS "/tiny-bytes.gguf"};
    hb_error err;
    if (!models[i]) require(hb_model_open_vocab(paths[i], &models[i], &err) == HB_OK);
    return models[i];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    choices c = {data, size};
    uint8_t options = choose(&c);
    const hb_model *model = model_at(options & 1);
    hb_error err;
    int32_t *tokens;
    size_t n, length;
    hb_buffer text = {0};
    if (hb_tokenize(model, (const char *)c.at, c.left, options & 2, options & 4, &tokens, &n, &err))
        return 0;
    for (size_t i = 0; i < n; i++) {
        require(tokens[i] >= 0 && tokens[i] < hb_model_get_info(model)->n_vocab);
        const char *bytes = hb_token_bytes(model, tokens[i], &length);
        require(hb_buffer_add(&text, bytes ? bytes : "", length));
    }
    size_t space = !(options & 1) && text.length == c.left + 1; /* SentencePiece inserts one */
    /* SentencePiece writes a space as U+2581, and may put it among the bytes of malformed text. */
    bool lossy = !(options & 1) && (memmem(c.at, c.left, "\xE2\x96\x81", 3) ||
                                    !hb_utf8_valid((const char *)c.at, c.left));
    if (!(options & 6) && !lossy) {
        require(text.length == c.left + space);
        require(!c.left || memcmp(text.data + space, c.at, c.left) == 0);
    }
    hb_find_control(model, (const char *)c.at, c.left, &length);
    hb_buffer_free(&text);
    free(tokens);
    return 0;
}
