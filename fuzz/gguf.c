/* The input is a GGUF file: opened, described, and evaluated. */
#include "run_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    run_model(file_of(data, size));
    return 0;
}
