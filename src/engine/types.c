#include "engine/types.h"

static const hb_type_info types[HB_TYPE_COUNT] = {
    [HB_TYPE_F32] = {"F32", 1, 4, 0, 0, 0},
    [HB_TYPE_F16] = {"F16", 1, 2, 0, 0, 0},
    [HB_TYPE_BF16] = {"BF16", 1, 2, 0, 0, 0},
    [HB_TYPE_Q4_0] = {"Q4_0", 32, 18, 32, 4, 8},
    [HB_TYPE_Q4_1] = {"Q4_1", 32, 20, 32, 4, 0},
    [HB_TYPE_Q5_0] = {"Q5_0", 32, 22, 32, 5, 16},
    [HB_TYPE_Q5_1] = {"Q5_1", 32, 24, 32, 5, 0},
    [HB_TYPE_Q8_0] = {"Q8_0", 32, 34, 32, 8, 128},
    [HB_TYPE_Q2_K] = {"Q2_K", 256, 84, 16, 2, 0},
    [HB_TYPE_Q3_K] = {"Q3_K", 256, 110, 16, 3, 4},
    [HB_TYPE_Q4_K] = {"Q4_K", 256, 144, 32, 4, 0},
    [HB_TYPE_Q5_K] = {"Q5_K", 256, 176, 32, 5, 0},
    [HB_TYPE_Q6_K] = {"Q6_K", 256, 210, 16, 6, 32},
    [HB_TYPE_IQ4_NL] = {"IQ4_NL", 32, 18, 32, 8, 128},
    [HB_TYPE_IQ4_XS] = {"IQ4_XS", 256, 136, 32, 8, 128},
    [HB_TYPE_MXFP4] = {"MXFP4", 32, 17, 32, 5, 12},
    /* Not supported; the names are for error messages. */
    [9] = {"Q8_1", 32, 0, 0, 0, 0},
    [15] = {"Q8_K", 256, 0, 0, 0, 0},
    [16] = {"IQ2_XXS", 256, 0, 0, 0, 0},
    [17] = {"IQ2_XS", 256, 0, 0, 0, 0},
    [18] = {"IQ3_XXS", 256, 0, 0, 0, 0},
    [19] = {"IQ1_S", 256, 0, 0, 0, 0},
    [21] = {"IQ3_S", 256, 0, 0, 0, 0},
    [22] = {"IQ2_S", 256, 0, 0, 0, 0},
    [24] = {"I8", 1, 0, 0, 0, 0},
    [25] = {"I16", 1, 0, 0, 0, 0},
    [26] = {"I32", 1, 0, 0, 0, 0},
    [27] = {"I64", 1, 0, 0, 0, 0},
    [28] = {"F64", 1, 0, 0, 0, 0},
    [29] = {"IQ1_M", 256, 0, 0, 0, 0},
    [34] = {"TQ1_0", 256, 0, 0, 0, 0},
    [35] = {"TQ2_0", 256, 0, 0, 0, 0},
};

const hb_type_info *hb_type_get_info(uint32_t type)
{
    static const hb_type_info unknown = {0};
    return type < HB_TYPE_COUNT ? &types[type] : &unknown;
}
